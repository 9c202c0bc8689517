"""Worker processes end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from sim.worker import serve_parent

# Prints the worker's process number, then waits for it.
PARENT = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from sim.worker import serve_parent
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=serve_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        input()
"""


def _lives(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def family(tmp_path):
    """A process and its worker's number."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        yield parent, worker
        parent.kill()
        if _lives(worker):
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_parent(family, number):
    parent, worker = family
    assert _lives(worker)
    parent.send_signal(number)
    parent.wait(10)
    end = time.monotonic() + 10
    while _lives(worker) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _lives(worker)


def test_a_worker_leaves_an_interrupt_to_its_parent(family):
    parent, worker = family
    os.kill(worker, signal.SIGINT)
    time.sleep(0.3)
    assert _lives(worker)
    parent.communicate("\n", 10)
    assert parent.returncode == 0


def test_it_is_for_workers_only():
    with pytest.raises(RuntimeError, match="multiprocessing has started"):
        serve_parent()

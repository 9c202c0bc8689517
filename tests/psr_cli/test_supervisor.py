"""The supervisor with small processes in the place of nodes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psr_cli.supervisor import Exit, LinePrinter, StopSignals, Supervisor

POLITE = (
    "def stop(*_):\n    raise KeyboardInterrupt\nsignal.signal(signal.SIGTERM, stop)\n"
    "try:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('bye')"
)
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
DYING = "for i in range(30):\n    print('line', i)\nprint('the reason', file=sys.stderr)\nsys.exit(3)"
# Prints its own pid and that of a child which ignores everything that can be ignored.
PARENT = (
    "child = subprocess.Popen([sys.executable, '-c', 'import signal, time\\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
    "time.sleep(60)'])\nprint('pids', os.getpid(), child.pid, flush=True)\n" + POLITE
)


def python(body: str) -> list[str]:
    return [sys.executable, "-S", "-c", "import os, signal, subprocess, sys, time\n" + body]


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    """Whether the process still runs; one that has ended but is not waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Console(LinePrinter):
    def __init__(self, *names: str) -> None:
        self.output = io.StringIO()
        super().__init__(self.output, names)

    @property
    def text(self) -> str:
        return self.output.getvalue()

    def shows(self, *texts: str) -> bool:
        return eventually(lambda: all(text in self.text for text in texts))


class TestRunning:
    def test_every_line_carries_the_name_of_its_process(self) -> None:
        console = Console("sim", "policy")
        with Supervisor({"sim": python(POLITE), "policy": python(POLITE)}, {}, console):
            assert console.shows("sim    | ready\n", "policy | ready\n")

    def test_children_get_the_environment_on_top_of_ours(self) -> None:
        console = Console("a")
        body = "print(os.environ['SAID'], os.environ['PATH'], flush=True)\n" + POLITE
        with Supervisor({"a": python(body)}, {"SAID": "hello"}, console):
            assert console.shows(f"a | hello {os.environ['PATH']}\n")

    def test_output_that_nobody_reads_any_more_stops_no_process(self) -> None:
        class Closed(io.StringIO):
            def write(self, _: str) -> int:
                raise BrokenPipeError

        with Supervisor({"a": python(DYING)}, {}, LinePrinter(Closed(), ["a"])) as supervisor:
            exits: list[Exit] = []
            assert eventually(lambda: bool(exits.extend(supervisor.poll()) or exits))
        assert exits[0].last_lines[-1] == "the reason"

    def test_colour_is_for_terminals_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        terminal = io.StringIO()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        plain = io.StringIO()
        LinePrinter(terminal, ["a"])("a", "text")
        LinePrinter(plain, ["a"])("a", "text")
        assert "\033[" in terminal.getvalue() and terminal.getvalue().endswith(" text\n")
        assert plain.getvalue() == "a | text\n"


class TestDeath:
    def test_a_dead_process_is_reported_once_with_its_code_and_last_lines(self) -> None:
        with Supervisor({"policy": python(DYING), "sim": python(POLITE)}, {}, Console()) as supervisor:
            exits: list[Exit] = []
            assert eventually(lambda: bool(exits.extend(supervisor.poll()) or exits))
            assert supervisor.running == ["sim"]
            assert supervisor.poll() == []
        report = str(exits[0])
        assert "policy ended with exit code 3" in report and "line 29" in report and "the reason" in report
        assert "line 5" not in report

    def test_a_signal_is_named(self) -> None:
        assert "sim ended with signal SIGSEGV" in str(Exit("sim", -signal.SIGSEGV, ()))

    def test_a_process_can_be_started_again(self) -> None:
        console = Console("a")
        with Supervisor({"a": python(DYING)}, {}, console) as supervisor:
            assert eventually(lambda: bool(supervisor.poll()))
            supervisor.start("a")
            assert supervisor.running == ["a"]
            assert eventually(lambda: bool(supervisor.poll()))
        assert console.text.count("the reason") == 2

    def test_a_command_that_does_not_exist_is_a_death_with_its_reason(self) -> None:
        console = Console("a", "b")
        with Supervisor({"a": python(POLITE), "b": ["/nonexistent/program"]}, {}, console) as supervisor:
            exits: list[Exit] = []
            assert eventually(lambda: bool(exits.extend(supervisor.poll()) or exits))
        assert exits[0].name == "b" and exits[0].code != 0
        assert "No such file" in exits[0].last_lines[-1]


class TestStopping:
    def test_a_polite_process_ends_on_the_first_signal(self) -> None:
        console = Console("a")
        with Supervisor({"a": python(POLITE)}, {}, console) as supervisor:
            assert console.shows("ready")
            exits = supervisor.stop()
            assert supervisor.running == []
        assert [(exit.name, exit.code) for exit in exits] == [("a", 0)]
        assert "a | bye\n" in console.text and "did not stop" not in console.text

    def test_a_stubborn_process_is_stopped_harder_and_named(self) -> None:
        console = Console("a", "b")
        with Supervisor({"a": python(POLITE), "b": python(STUBBORN)}, {}, console) as supervisor:
            assert console.shows("a | ready", "b | ready")
            exits = {exit.name: exit.code for exit in supervisor.stop()}
        assert exits == {"a": 0, "b": -signal.SIGKILL}
        assert "b did not stop; sending SIGKILL" in console.text

    def test_what_a_process_started_itself_goes_with_it(self) -> None:
        console = Console("a")
        with Supervisor({"a": python(PARENT)}, {}, console):
            assert console.shows("pids", "ready")
            grandchild = int(console.text.split("pids ")[1].split()[1])
            assert alive(grandchild)
        assert eventually(lambda: not alive(grandchild))

    def test_nothing_is_left_after_an_error_in_the_block(self) -> None:
        console = Console("a")
        with pytest.raises(RuntimeError), Supervisor({"a": python(POLITE)}, {}, console) as supervisor:
            assert console.shows("ready")
            raise RuntimeError
        assert supervisor.running == []


class TestSignals:
    def test_a_signal_becomes_a_request_and_the_old_handler_returns(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with StopSignals() as stop:
            assert not stop.requested
            os.kill(os.getpid(), signal.SIGINT)
            assert eventually(lambda: stop.requested)
            assert stop.exit_code == 130
        assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_no_process_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from psr_cli.supervisor import Supervisor
        body = "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); " \\
               "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('pid', os.getpid(), flush=True); time.sleep(60)"
        command = [sys.executable, "-S", "-c", body]
        with Supervisor({"a": command, "b": command}, {}):
            time.sleep(60)
    """)
    root = Path(__file__).parents[2]
    supervisor = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pids = [int(supervisor.stdout.readline().split()[-1]) for _ in range(2)]
    try:
        assert all(map(alive, pids))
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
        assert eventually(lambda: not any(map(alive, pids)))
    finally:
        supervisor.stdout.close()
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)

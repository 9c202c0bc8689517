"""`psr train` from within a test: the command line as cards have it, and the signal handlers put back."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from psr_cli.main import main


@contextmanager
def psr_train(words: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], int]]:
    """run(options) -> exit code of `psr train WORDS OPTIONS`."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(options: str = "") -> int:
        command = shlex.split(f"train {words} {options}")
        monkeypatch.setattr(sys, "argv", ["psr", *command])
        return main(command)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)

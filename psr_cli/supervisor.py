"""Start processes, show what they print, say when one dies, and leave none behind.

Every process leads its own group, so that Ctrl-C in the terminal reaches the supervisor alone, which passes it on
once. The kernel kills the processes should the supervisor itself be killed (see tether.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TextIO

from psr_cli.interrupts import noted_by

# What stop() sends, and for how many seconds each may take to work; all gone in less than 5 s. Not SIGINT: nodes treat
# both alike, but a Python that is still importing dies of SIGTERM at once, and of SIGINT only after a long unwinding.
ESCALATION = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 0.5))
LAST_LINES = 12
_TETHER = Path(__file__).with_name("tether.py")
_COLOURS = (36, 33, 35, 32, 34, 31)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """`with StopSignals() as stop:` turns SIGINT, SIGTERM and SIGHUP into `stop.requested`, for a loop to look at.

    Raises KeyboardInterrupt at the beginning for a SIGINT that Interrupts has noted before.
    """

    def __init__(self) -> None:
        self.signum = 0

    @property
    def requested(self) -> bool:
        return self.signum != 0

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + the signal's number, 130 for Ctrl-C."""
        return 128 + self.signum

    def __enter__(self) -> StopSignals:
        self._previous = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        if noted_by(self._previous[signal.SIGINT]):
            self.__exit__()
            raise KeyboardInterrupt
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.signum = signum


class LinePrinter:
    """Prints whole lines from several threads, each after the name of who said it (in colour on a terminal)."""

    def __init__(self, output: TextIO, names: Iterable[str] = ()) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._names = list(names)
        self._width = max(map(len, self._names), default=0)
        self._colour = output.isatty() and "NO_COLOR" not in os.environ

    def __call__(self, name: str, text: str) -> None:
        prefix = f"{name:<{self._width}} |"
        if self._colour and name in self._names:
            prefix = f"\033[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{prefix}\033[0m"
        with self._lock, suppress(OSError):  # whoever read the output is gone; the processes go on
            self._output.write("".join(f"{prefix} {line}\n" for line in text.splitlines() or [""]))
            self._output.flush()


@dataclass(frozen=True)
class Exit:
    """How a process ended: `code` as subprocess has it, negative for a signal."""

    name: str
    code: int
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        how = f"exit code {self.code}" if self.code >= 0 else f"signal {signal.Signals(-self.code).name}"
        lines = "".join(f"\n    {line}" for line in self.last_lines) or " nothing"
        return f"{self.name} ended with {how}; the last it printed:{lines}"


class _Child:
    """A started process and the thread that reads what it prints."""

    def __init__(self, name: str, process: subprocess.Popen[str], say: LinePrinter) -> None:
        self.process = process
        self.tail: deque[str] = deque(maxlen=LAST_LINES)
        self.reader = threading.Thread(target=self._read, args=(name, say), daemon=True)
        self.reader.start()

    def _read(self, name: str, say: LinePrinter) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.tail.append(line.rstrip("\n"))
                say(name, line)


class Supervisor:
    """`with Supervisor(commands, environment, printer) as supervisor:` runs every command until the block ends.

    commands: name -> command line; environment: added to this process's own. Use it from the main thread: the kernel
    takes the end of the thread that started a process for the end of its parent.
    """

    def __init__(
        self, commands: Mapping[str, list[str]], environment: Mapping[str, str], printer: LinePrinter | None = None
    ) -> None:
        self._commands = dict(commands)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._children: dict[str, _Child] = {}
        self.say = printer or LinePrinter(sys.stdout, commands)

    def __enter__(self) -> Supervisor:
        try:
            for name in self._commands:
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> list[str]:
        """Names of the processes that have not ended, as far as poll() knows."""
        return list(self._children)

    def pid(self, name: str) -> int:
        """Process id of a running process. Raises KeyError when it has ended."""
        return self._children[name].process.pid

    def start(self, name: str) -> None:
        """Start one of the commands, at first or again after its end. Raises OSError if it cannot be executed."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *self._commands[name]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self._environment,
            start_new_session=True,
        )
        self._children[name] = _Child(name, process, self.say)

    def poll(self) -> list[Exit]:
        """The processes that ended since the last call."""
        ended = {name: child for name, child in self._children.items() if child.process.poll() is not None}
        return [self._bury(name) for name in ended]

    def stop(self) -> list[Exit]:
        """End every process: SIGTERM, after 3 s SIGKILL. Returns how each ended."""
        exits: list[Exit] = []
        for signum, patience in ESCALATION:
            if signum == signal.SIGKILL and self._children:
                self.say("psr", f"{', '.join(self._children)} did not stop; sending {signum.name}")
            for child in self._children.values():
                _signal_group(child.process.pid, signum)
            deadline = time.monotonic() + patience
            while self._children and time.monotonic() < deadline:
                exits += self.poll()
                time.sleep(0.02)
        return exits

    def _bury(self, name: str) -> Exit:
        child = self._children.pop(name)
        _signal_group(child.process.pid, signal.SIGKILL)  # what it may have started itself
        child.reader.join(timeout=0.5)
        return Exit(name, child.process.returncode, tuple(child.tail))


def _signal_group(group: int, signum: int) -> None:
    with suppress(ProcessLookupError):  # it has ended already
        os.killpg(group, signum)

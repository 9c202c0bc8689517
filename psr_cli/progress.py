"""Progress of long work, with the time that is left, on stderr."""

from __future__ import annotations

import sys
import time


class Progress:
    """Lines on stderr: one that is overwritten on a terminal, otherwise one every ten seconds.

    things: what is counted, such as "images".
    """

    def __init__(self, things: str) -> None:
        self._things = things
        self._started = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def count(self, done: int, total: int, name: str) -> None:
        """So many of the total are done, now at `name`; time is counted from the call with done = 0."""
        if done == 0:
            self._started = time.monotonic()
            self.say(f"{total} {self._things} to go", last=True)
            return
        left = (time.monotonic() - self._started) / done * (total - done)
        self.say(f"{done}/{total} {self._things}, {duration(left)} left ({name})", last=done == total)

    def say(self, text: str, last: bool = False) -> None:
        """Show a line; `last` says that it must not be left out."""
        now = time.monotonic()
        if self._terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif last or now - self._shown >= 10:
            self._shown = now
            print(text, file=sys.stderr, flush=True)

    def end(self, text: str = "") -> None:
        """Remove the line, and leave `text` if there is any."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr)
        if text:
            print(text, file=sys.stderr)


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"

"""Ctrl-C that does not get lost.

Python raises KeyboardInterrupt in whatever runs at that moment, and some of that drops it: callbacks of weak references
(importlib runs one after each import), `__del__`, and code that takes any exception for a failed import, such as the C
extensions of numpy and rclpy. While a command imports, one Ctrl-C in some hundred is lost like that.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupts:
    """`with Interrupts() as interrupts:` raises KeyboardInterrupt at SIGINT as Python does, and sets `noted` as well.

    Where SIGINT is ignored or handled by somebody else, it remains so. For the main thread.
    """

    def __init__(self) -> None:
        self.noted = False

    def __enter__(self) -> Interrupts:
        self._previous = signal.getsignal(signal.SIGINT)
        if self._previous is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.noted = True
        raise KeyboardInterrupt


def noted_by(handler: Any) -> bool:
    """Whether this signal handler is an Interrupts that has noted one."""
    return isinstance(handler, Interrupts) and handler.noted

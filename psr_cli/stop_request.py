"""Ctrl-C as a request that long work honours when it can save."""

from __future__ import annotations

import signal
from typing import Any


class StopRequest:
    """Turns Ctrl-C and SIGTERM into a request that is honoured between two steps; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self._requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._requested

    def _on_signal(self, number: int, frame: Any) -> None:
        self._requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

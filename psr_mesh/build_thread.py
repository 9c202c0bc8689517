"""A build in a thread of its own, so that whoever started it can go on answering."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from psr_mesh.builder import Progress
from psr_mesh.catalogue import Entry

PERIOD = 0.5  # seconds between two reports of a stage, unless there is a new picture
Build = Callable[[Callable[[], bool], Callable[[Progress], None]], Entry]


class BuildThread:
    """Runs build(should_stop, progress) at once. notify: called in the thread when there is news; must not block.

    outcome: what build returned or raised, None until then.
    """

    def __init__(self, build: Build, notify: Callable[[], None]) -> None:
        self._build, self._notify = build, notify
        self._stop = threading.Event()
        self._news: deque[Progress] = deque()
        self._told: tuple[str, float] = "", 0.0
        self.outcome: Entry | Exception | None = None
        self._thread = threading.Thread(target=self._run, name="build", daemon=True)
        self._thread.start()

    def stop(self, wait: float = 0.0) -> bool:
        """Ask the build to save and stop, and wait for so many seconds; returns whether it has ended."""
        self._stop.set()
        self._thread.join(wait)
        return not self._thread.is_alive()

    def news(self) -> list[Progress]:
        """What was reported since the last call, in order."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def _run(self) -> None:
        try:
            outcome: Entry | Exception = self._build(self._stop.is_set, self._hear)
        except Exception as error:  # whatever it is, the next one may fare better
            outcome = error
        self.outcome = outcome
        self._notify()

    def _hear(self, progress: Progress) -> None:
        stage, at = self._told
        if progress.stage == stage and progress.preview is None and time.monotonic() - at < PERIOD:
            return
        self._told = progress.stage, time.monotonic()
        self._news.append(progress)
        self._notify()

"""Keeps a slow estimator in step with a fast camera: pairs, one thread with one slot, what became of frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
KEPT = 10  # unpaired messages of a topic
PATIENCE = 3  # messages without a partner before it is said
NANOSECONDS = 1_000_000_000
NOISES = ("fixed", "stamp")


def frame_seed(noise: str, stamp: int) -> int:
    """What addresses the noise of a frame, beside the seed. noise: "fixed" is the same noise at every frame, so that
    what stands still looks still; "stamp" follows from the image's stamp (ns)."""
    return stamp if noise == "stamp" else 0


class StampPairs:
    """Pairs the messages of two topics by their exact stamps (ns), whichever of the two comes first.

    A pair makes everything that came before it on either topic obsolete. Not thread-safe.
    """

    def __init__(self, first: str, second: str) -> None:
        self._names = first, second
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = {}, {}
        self._unpaired = [0, 0]

    def add(self, name: str, stamp: int, message: Any) -> tuple[Any, Any] | None:
        """Take a message of the topic `name`; returns (first, second) once both of a stamp are there."""
        own = self._names.index(name)
        mine, other = self._waiting[own], self._waiting[1 - own]
        mine.pop(stamp, None)
        mine[stamp] = message
        self._unpaired[own] += 1
        if stamp not in other:
            if len(mine) > KEPT:
                del mine[next(iter(mine))]
            return None
        pair = self._waiting[0][stamp], self._waiting[1][stamp]
        for waiting in self._waiting:
            for old in list(waiting):
                del waiting[old]
                if old == stamp:
                    break
        self._unpaired = [len(waiting) for waiting in self._waiting]
        return pair

    @property
    def problem(self) -> str:
        """Why nothing pairs at present, or an empty text."""
        for one, other in ((0, 1), (1, 0)):
            if self._unpaired[one] < PATIENCE:
                continue
            if not self._unpaired[other]:
                return f"{self._names[one]} comes, {self._names[other]} does not; start what publishes it"
            if self._unpaired[other] >= PATIENCE:
                newest = [next(reversed(waiting)) / NANOSECONDS for waiting in self._waiting]
                return (
                    f"{self._names[0]} and {self._names[1]} never have the same stamp (the newest: {newest[0]:.6f} and "
                    f"{newest[1]:.6f} s); both must come from one driver, which stamps them alike"
                )
        return ""


class NewestWorker(Generic[Item]):
    """A thread that works on the newest item it was offered; of those that come while it is busy one waits.

    work: called in the thread, one item after the other. done: called in the thread with the item and what work
    returned or raised; it must not block. Everything here may be called from any thread.
    """

    def __init__(self, work: Callable[[Item], Any], done: Callable[[Item, Any], None]) -> None:
        self._work, self._done = work, done
        self._change = threading.Condition()
        self._waiting: deque[Item] = deque()
        self._busy = self._closed = False
        self._thread = threading.Thread(target=self._run, name="newest frame", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether an item is being worked on, or waits."""
        with self._change:
            return self._busy or bool(self._waiting)

    def offer(self, item: Item) -> int:
        """Work on it next. Returns how many items were dropped for it: 1 if one was still waiting, else 0."""
        with self._change:
            dropped = self.discard()
            if not self._closed:
                self._waiting.append(item)
                self._change.notify_all()
            return dropped

    def discard(self) -> int:
        """Drop what waits; returns how many items that were."""
        with self._change:
            dropped = len(self._waiting)
            self._waiting.clear()
            return dropped

    def close(self, timeout: float | None = 0.0) -> None:
        """Drop what waits, and call `done` no more. Waits up to timeout (s; None: for ever) for what is under way."""
        with self._change:
            self.discard()
            self._closed = True
            self._change.notify_all()
        self._thread.join(timeout)

    def _run(self) -> None:
        while (item := self._take()) is not None:
            outcome: Any
            try:
                outcome = self._work(item)
            except Exception as error:  # whatever it is, the next item may fare better
                outcome = error
            with self._change:
                self._busy = False
                if not self._closed:
                    self._done(item, outcome)

    def _take(self) -> Item | None:
        with self._change:
            self._change.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            self._busy = True
            return self._waiting.popleft()


class FrameStatistics:
    """Counts since the start; rates, drops and times over the last `window` frames."""

    def __init__(self, window: int = 100) -> None:
        self.published = self.dropped = self.failed = 0
        self._kept: deque[bool] = deque(maxlen=window)
        self._moments: deque[float] = deque(maxlen=window)
        self._latencies: deque[float] = deque(maxlen=window)
        self._inferences: deque[float] = deque(maxlen=window)

    def publish(self, moment: float, latency: float, inference: float) -> None:
        """A published frame: when (s of any steady clock), and its latency and the estimate's part of it (s)."""
        self.published += 1
        self._kept.append(True)
        self._moments.append(moment)
        self._latencies.append(latency)
        self._inferences.append(inference)

    def drop(self, count: int = 1) -> None:
        """Frames that newer ones replaced."""
        self.dropped += count
        self._kept.extend([False] * count)

    def fail(self) -> None:
        """A frame of which nothing came."""
        self.failed += 1
        self._kept.append(True)

    def rate(self, moment: float, span: float = 10.0) -> float:
        """Frames per second over the last `span` seconds before `moment`."""
        return sum(moment - each < span for each in self._moments) / span

    @property
    def drop_rate(self) -> float:
        """Of the last frames the share that was dropped, 0 to 1."""
        return 1 - sum(self._kept) / len(self._kept) if self._kept else 0.0

    def latency(self, percentile: float) -> float:
        """A percentile (0 to 100) of the latencies in seconds, 0 before the first frame."""
        return _percentile(self._latencies, percentile)

    def inference(self, percentile: float) -> float:
        """A percentile (0 to 100) of the estimates' times in seconds, 0 before the first frame."""
        return _percentile(self._inferences, percentile)


def _percentile(values: deque[float], percentile: float) -> float:
    return float(np.percentile(values, percentile)) if values else 0.0

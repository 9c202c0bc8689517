"""What stands between a policy and a robot: limits of its actions, frozen observations, and counts of both."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import rot6d_to_matrix

# A column that hardly moved in the demonstrations would otherwise have no width that a margin could widen.
SMALLEST_RANGE = 0.1
ROT6D = ("r1", "r2", "r3", "r4", "r5", "r6")  # endings of the columns that name a rotation together


class ActionLimits:
    """Smallest and largest number allowed in each column of an action.

    names: of the Da columns. low, high: (Da,) limits of the demonstrations, widened on both sides by margin (>= 0)
    times their range. own_low, own_high: column -> limit, in force as they are in place of those.
    Raises ValueError when a low limit lies above the high one.
    """

    def __init__(
        self,
        names: Sequence[str],
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        margin: float,
        own_low: Mapping[str, float] | None = None,
        own_high: Mapping[str, float] | None = None,
    ) -> None:
        self.names = tuple(names)
        self._rotations = [
            column for column in range(len(names)) if tuple(name[-2:] for name in names[column : column + 6]) == ROT6D
        ]
        widening = margin * np.maximum(np.subtract(high, low, dtype=np.float64), SMALLEST_RANGE)
        self.low = self._own(low - widening, own_low or {})
        self.high = self._own(high + widening, own_high or {})
        if (crossed := self.low > self.high).any():
            column = int(np.argmax(crossed))
            bounds = f"low {self.low[column]:g}, high {self.high[column]:g}"
            raise ValueError(
                f"action limits of {self.names[column]} are crossed: {bounds}; mend the contract's action part"
            )

    def _own(self, limits: NDArray[np.float64], own: Mapping[str, float]) -> NDArray[np.float64]:
        return np.array([own.get(name, limit) for name, limit in zip(self.names, limits, strict=True)])

    def check(self, rows: NDArray[np.float32]) -> None:
        """Raises ValueError naming the first row (R, Da) and column that is not finite or lies outside.

        Six columns r1 to r6 must also name a rotation: neither of the two vectors zero, nor both parallel.
        """
        # Written so that NaN, which compares false with everything, is outside.
        outside = ~((rows >= self.low) & (rows <= self.high))
        if outside.any():
            row, column = (int(index) for index in np.argwhere(outside)[0])
            bounds = f"[{self.low[column]:.4g}, {self.high[column]:.4g}]"
            value = rows[row, column]
            raise ValueError(f"row {row}, column {self.names[column]} is {value:.4g}, expected a number in {bounds}")
        for first in self._rotations:
            rot6d_to_matrix(rows[:, first : first + 6])


class FrozenDetector:
    """Notices observations that do not change by a single bit for `limit` steps in a row; limit 0 never does."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._last: bytes | None = None
        self.repeats = 0

    def update(self, features: Mapping[str, NDArray[np.float64]]) -> bool:
        """Take one step's features; true when this is the limit-th equal one in a row, or a later one."""
        now = b"".join(np.ascontiguousarray(values).tobytes() for values in features.values())
        self.repeats = self.repeats + 1 if now == self._last else 1
        self._last = now
        return 0 < self.limit <= self.repeats


class ChunkStatistics:
    """Counts and latencies since the start; rate and percentiles over the last `window` chunks."""

    def __init__(self, window: int = 100) -> None:
        self.published = self.refused = self.held = self.skipped = 0
        self._latencies: deque[float] = deque(maxlen=window)
        self._times: deque[float] = deque(maxlen=window)

    def add(self, time: float, latency: float) -> None:
        """A published chunk: when, in seconds of any steady clock, and its latency in seconds."""
        self.published += 1
        self._times.append(time)
        self._latencies.append(latency)

    def rate(self, time: float, span: float = 10.0) -> float:
        """Chunks per second over the last `span` seconds before `time`."""
        return sum(time - t < span for t in self._times) / span

    def latency(self, percentile: float) -> float:
        """A percentile (0 to 100) of the latencies in seconds, 0 before the first chunk."""
        return float(np.percentile(self._latencies, percentile)) if self._latencies else 0.0

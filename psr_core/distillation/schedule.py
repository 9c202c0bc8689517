"""Which noise level an iteration looks at, and how much its gradient weighs: shared by every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from psr_core.distillation.levels import Levels
from psr_core.distillation.noise import TIME, addressed_uniform
from psr_core.steering import Level

Weighting = Callable[[Level], float]
WEIGHTINGS: dict[str, Weighting] = {
    "variance": lambda level: level.sigma_t**2,  # 1 - a: DreamFusion's, and threestudio's for every method
    "ratio": lambda level: level.sigma_t / level.alpha,  # s: of the derivations of SDI and DSD
    "uniform": lambda level: 1.0,
}


class Times(Protocol):
    """Chooses a whole time, 1 to T, for an iteration (from 0) of `steps`."""

    def time(self, levels: Levels, step: int, steps: int, seed: int) -> int: ...


@dataclass(frozen=True)
class RandomTimes:
    """Uniform between two shares of T, both included; from iteration `after` on (None: never) at most late_high.

    Raises ValueError naming the field.
    """

    low: float = 0.02
    high: float = 0.98
    after: int | None = None
    late_high: float = 0.5

    def __post_init__(self) -> None:
        _check_shares(self, ("low", "high"))
        if self.after is not None:
            _check_shares(self, ("low", "late_high"))

    def time(self, levels: Levels, step: int, steps: int, seed: int) -> int:
        late = self.after is not None and step >= self.after
        low, high = levels.at(self.low), levels.at(self.late_high if late else self.high)
        drawn = low + int(addressed_uniform(seed, TIME, step) * (high - low + 1))
        return max(1, min(drawn, high))


@dataclass(frozen=True)
class AnnealedTimes:
    """From a share of T down to another: start - (start - end) (step / steps)^power; power 1 is linear, 0.5 HiFA's.

    Raises ValueError naming the field.
    """

    start: float = 0.98
    end: float = 0.02
    power: float = 1.0

    def __post_init__(self) -> None:
        _check_shares(self, ("end", "start"))
        if not 0 < self.power < 100:
            raise ValueError(f"times power is {self.power}, expected above 0 and below 100")

    def time(self, levels: Levels, step: int, steps: int, seed: int) -> int:
        return max(1, levels.at(self.start - (self.start - self.end) * (step / steps) ** self.power))


@dataclass(frozen=True)
class SlidingTimes:
    """Uniform in a window that slides linearly from (low, high) to (late_low, late_high), shares of T: ASD's.

    Raises ValueError naming the field.
    """

    low: float = 0.5
    high: float = 0.98
    late_low: float = 0.02
    late_high: float = 0.5

    def __post_init__(self) -> None:
        _check_shares(self, ("low", "high"))
        _check_shares(self, ("late_low", "late_high"))

    def time(self, levels: Levels, step: int, steps: int, seed: int) -> int:
        done = step / steps
        low = self.low + done * (self.late_low - self.low)
        high = self.high + done * (self.late_high - self.high)
        return RandomTimes(low, high).time(levels, step, steps, seed)


def _check_shares(times: object, names: tuple[str, str]) -> None:
    low, high = (getattr(times, name) for name in names)
    for name, value in zip(names, (low, high), strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"times {name} is {value}, expected a share of T from 0 to 1")
    if low > high:
        raise ValueError(f"times {names[0]} is {low}, expected at most {names[1]}, which is {high}")

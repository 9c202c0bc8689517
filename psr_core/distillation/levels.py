"""Which noise belongs to which time: t = 0 is clean, t = T the noisiest level that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from psr_core.steering import Level


@dataclass(frozen=True)
class Levels:
    """The levels of a variance-preserving model, from its alphas_cumprod: T numbers in (0, 1), falling.

    Time t counts from 0 (clean) to T; t >= 1 is diffusers' timestep t - 1. Between whole times the ratio
    s = sqrt((1 - a) / a) is linear in t, so that every ratio from 0 to s(T) has its time. Raises ValueError.
    """

    alphas_cumprod: tuple[float, ...]

    def __post_init__(self) -> None:
        a = (1.0, *self.alphas_cumprod)
        if len(a) < 2 or not all(0 < low < high for high, low in zip(a[:-1], a[1:], strict=True)):
            raise ValueError(f"alphas_cumprod has {len(a) - 1} numbers, expected one or more, falling, between 0 and 1")

    @property
    def last(self) -> int:
        """T, the number of noisy levels."""
        return len(self.alphas_cumprod)

    def ratio(self, t: float) -> float:
        """s(t) = sigma_t / alpha: the noise beside a signal of unit scale. Raises ValueError outside 0 to T."""
        if not 0 <= t <= self.last:
            raise ValueError(f"time is {t}, expected 0 to {self.last}")
        return float(np.interp(t, np.arange(self.last + 1), self._ratios))

    def level(self, t: float) -> Level:
        """alpha and sigma_t at time t, alpha² + sigma_t² = 1."""
        return level_of(self.ratio(t))

    def time(self, ratio: float) -> float:
        """The inverse of ratio(). Raises ValueError outside 0 to s(T)."""
        if not 0 <= ratio <= self._ratios[-1]:
            raise ValueError(f"noise ratio is {ratio:g}, expected 0 to {self._ratios[-1]:g}, the model's largest")
        return float(np.interp(ratio, self._ratios, np.arange(self.last + 1)))

    def at(self, share: float) -> int:
        """The whole time at a share of T, from 0 to 1."""
        return round(min(max(share, 0.0), 1.0) * self.last)

    def grid(self, steps: int) -> list[int]:
        """steps + 1 whole times from T down to 0, evenly. Raises ValueError unless there are that many levels."""
        if not 1 <= steps <= self.last:
            raise ValueError(f"steps is {steps}, expected 1 to {self.last}, the number of levels")
        return [self.at(1 - j / steps) for j in range(steps + 1)]

    @cached_property
    def _ratios(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        a = np.array((1.0, *self.alphas_cumprod))
        ratios: np.ndarray[tuple[int], np.dtype[np.float64]] = np.sqrt((1 - a) / a)
        return ratios


def level_of(ratio: float) -> Level:
    """The variance-preserving level of a noise ratio s = sigma_t / alpha."""
    alpha = 1 / math.sqrt(1 + ratio**2)
    return Level(alpha, ratio * alpha)


def scaled_linear_levels(steps: int = 1000, betas: Sequence[float] = (0.00085, 0.012)) -> Levels:
    """The levels of Stable Diffusion: the square roots of its betas are evenly spaced."""
    roots = torch.linspace(betas[0] ** 0.5, betas[1] ** 0.5, steps, dtype=torch.float64)
    return Levels(tuple((1 - roots.square()).cumprod(0).tolist()))

"""Two settings on the same episodes or images: the difference, its interval and test, and what may be concluded.

The best of many settings looks better than it is on the pairs that it was chosen by. So the pairs are halved: a setting
is chosen by those at even positions (SELECTION) and judged by those at odd positions (HELD_OUT).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SELECTION, HELD_OUT = slice(0, None, 2), slice(1, None, 2)
SIGNIFICANCE = 0.05  # and intervals of 95 %
RESOLUTION = 1000  # parts of a score that the test tells apart
RESAMPLES = 10_000

Array = NDArray[Any]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """By how much a setting is better than another, over the same initial states or images.

    mean with its 95 % bootstrap interval low to high over them, positive is better; p: sign_flip_p; better, worse: at
    how many of them it did better, or worse (for policies summed over the checkpoints).
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    worse: int

    @property
    def verdict(self) -> str:
        """ "gain" or "loss" where interval and test both exclude equality, otherwise "none"."""
        if self.p >= SIGNIFICANCE or self.low <= 0 <= self.high:
            return "none"
        return "gain" if self.mean > 0 else "loss"


def verdict(difference: Estimate | None) -> str:
    """ "yes" where a difference is above 0 for sure, "no" where it is below, else "open"; "" where there is none."""
    if difference is None:
        return ""
    return "yes" if difference.low > 0 else "no" if difference.high < 0 else "open"


def tally(verdicts: Iterable[str]) -> str:
    """Such as "yes in 4 of 6, no in 1, open in 1"; "" of nothing."""
    asked = [one for one in verdicts if one]
    counts = [f"{word} in {asked.count(word)}" for word in ("yes", "no", "open") if word in asked]
    return f"{', '.join(counts)} of {len(asked)}" if asked else ""


def sign_flip_p(differences: Array) -> float:
    """Two-sided p-value that differences (pairs,) are as likely to be negative as positive; 1 when all are 0.

    Exact: the share of all assignments of signs whose sum is as far from 0 as the one found, differences rounded to
    1/RESOLUTION. For successes on one checkpoint (-1, 0, 1) this is McNemar's exact test; for sums over several it
    takes initial states, not episodes, as independent. Source: Fisher, The design of experiments (1935), section 21.
    """
    steps = np.rint(np.asarray(differences, float) * RESOLUTION).astype(int)
    if not steps.any():
        return 1.0
    unit = int(np.gcd.reduce(steps))
    chances = np.ones(1)  # of the sums -(len - 1), ..., len - 1 in steps of 2
    for size in np.abs(steps[steps != 0]) // unit:
        grown = np.zeros(len(chances) + size)
        grown[: len(chances)] += chances / 2
        grown[size:] += chances / 2
        chances = grown
    sums = np.arange(-(len(chances) - 1), len(chances), 2)
    return float(min(1.0, chances[np.abs(sums) >= abs(steps.sum() // unit)].sum()))


def random_sign_flip_p(differences: Array, draws: int = RESAMPLES, seed: int = 0) -> Array:
    """The same test (pairs, m) -> (m,), of unrounded differences of any size, by random assignments of signs.

    Its least value is 1 / (draws + 1). For thousands of pairs, where the exact one takes long. The same arguments give
    the same values. Source: Phipson and Smyth, Statistical applications in genetics and molecular biology 9 (2010).
    """
    rng = np.random.default_rng(seed)
    found = np.abs(differences.sum(0)) - 1e-9 * np.abs(differences).sum(0)  # of sums that are equal but for rounding
    as_far = np.zeros(differences.shape[1])
    for size in _parts(draws):
        signs = 2.0 * rng.integers(0, 2, (size, len(differences))) - 1
        as_far += (np.abs(signs @ differences) >= found).sum(0)
    return (as_far + 1) / (draws + 1)


def resampled_means(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Means (resamples, m) of values (pairs, m) over pairs drawn with replacement, the same for all columns.

    Quantiles of what is computed from them (a difference, a ratio of columns) are paired bootstrap intervals.
    """
    rng, pairs = np.random.default_rng(seed), len(values)
    means = []
    for size in _parts(resamples):
        drawn = rng.integers(0, pairs, (size, pairs)) + pairs * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * pairs).reshape(size, pairs)
        means.append(counts @ values / pairs)
    return np.concatenate(means)


def _parts(count: int, largest: int = 500) -> list[int]:
    return [min(largest, count - first) for first in range(0, count, largest)]

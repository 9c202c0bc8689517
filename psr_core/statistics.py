"""Intervals and tests for success counts: what a difference between two settings is worth."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a success rate, within [0, 1]; (0, 1) when n is 0, as nothing is known then.

    Raises ValueError unless 0 <= successes <= n and 0 < confidence < 1. Source: Wilson, JASA 22 (1927).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}, expected 0 to n = {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected more than 0 and less than 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At 0 and n successes one end is exact; rounding must not move it past the rate.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided p-value that b and c discordant pairs come from equal rates; 1 when there is none.

    b: pairs in which only the first succeeded, c: only the second. Exact binomial test of b in b + c at 1/2.
    Raises ValueError on negative counts. Source: McNemar, Psychometrika 12 (1947).
    """
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts are {b} and {c}, expected numbers >= 0")
    n = b + c
    tail = sum(math.comb(n, i) for i in range(min(b, c) + 1))
    return min(1.0, tail / 2 ** (n - 1)) if n else 1.0


def paired_bootstrap(
    x: ArrayLike, y: ArrayLike, seed: int = 0, n: int = 10_000, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of y - x over pairs, with a bootstrap percentile interval: (mean, low, high).

    x, y: shape (pairs,), finite numbers or booleans; row i of both belongs to the same seed. n: resamples, >= 1.
    The same arguments give the same interval. Raises ValueError on other shapes, no pairs or values not finite.
    """
    difference = _vector("y", y) - _vector("x", x) if np.shape(x) == np.shape(y) else np.empty(0)
    if difference.size == 0 or n < 1:
        raise ValueError(
            f"x and y have shapes {np.shape(x)} and {np.shape(y)} and n is {n}, expected pairs and n of at least 1"
        )
    rng = np.random.default_rng(seed)
    means = [difference[rng.integers(0, difference.size, difference.size)].mean() for _ in range(n)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(difference.mean()), float(low), float(high)


def bootstrap_ratio(
    x: ArrayLike, y: ArrayLike, seed: int = 0, n: int = 10_000, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Ratio of the means, mean(y) / mean(x), with a paired bootstrap percentile interval: (ratio, low, high).

    x, y: shape (pairs,), finite numbers, those of x positive; row i of both belongs together. Otherwise as
    paired_bootstrap.
    """
    base, other = _vector("x", x), _vector("y", y)
    if base.shape != other.shape or base.size == 0 or n < 1 or not (base > 0).all():
        raise ValueError(
            f"x and y have shapes {base.shape} and {other.shape} and n is {n}, expected pairs with x above 0, and n of "
            "at least 1"
        )
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, base.size, base.size) for _ in range(n)]
    ratios = [other[rows].mean() / base[rows].mean() for rows in drawn]
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(other.mean() / base.mean()), float(low), float(high)


def _vector(name: str, values: ArrayLike) -> NDArray[Any]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError(
            f"{name} has shape {vector.shape} or values that are not finite, expected finite numbers (pairs,)"
        )
    return vector

"""How near points of the plane are to a density that is known: fidelity, coverage, and what chance there is in them.

Every figure is computed on all points, and again on random halves of points and of truth. Resampling with replacement
would put points on top of each other, which what looks at nearest neighbours takes for a collapse; the spread over
halves drawn without replacement is the standard error of a mean exactly (half-sampling: Efron 1982, The jackknife, the
bootstrap and other resampling plans, chapter 8). Halves are the same for all sets of as many points: differences are
paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core.mixtures import GaussianMixture
from psr_eval.paired import Estimate

METRICS = ("nll", "inside", "precision", "recall", "coverage", "mmd", "spread")
NEIGHBOURS = 3
OUTSIDE = 0.01  # share of the truth's own mass that counts as outside
WIDTHS = (0.1, 0.3, 1.0)  # standard deviations of the MMD's kernel, which is the mean of these Gaussians
SHARES = ("inside", "precision", "recall", "coverage")
HALVES = 60
FEWEST = 16  # points, so that a half has neighbours

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """Figures (metrics,) of a set of points, and of its halves (HALVES, metrics), in the order of METRICS."""

    values: Array
    halves: Array

    def estimate(self, metric: str) -> Estimate:
        """A figure with its interval, which for shares ends at 0 and 1."""
        found = _estimate(self, METRICS.index(metric))
        return Estimate(found.mean, max(0.0, found.low), min(1.0, found.high)) if metric in SHARES else found

    def minus(self, other: Scores, metric: str) -> Estimate:
        """The paired difference to other points' figure."""
        return _estimate(Scores(self.values - other.values, self.halves - other.halves), METRICS.index(metric))


def _estimate(scores: Scores, place: int) -> Estimate:
    value = float(scores.values[place])
    error = 1.96 * float(scores.halves[:, place].std(ddof=1))
    return Estimate(value, value - error, value + error)


@dataclass(frozen=True, eq=False)
class Truth:
    """A density with as many samples (N, 2) of its own as points are judged; edge: the log density below which OUTSIDE
    of its mass lies. Raises ValueError below FEWEST points."""

    mixture: GaussianMixture
    samples: Tensor
    edge: float

    def __post_init__(self) -> None:
        if len(self.samples) < FEWEST:
            raise ValueError(f"there are {len(self.samples)} points, expected {FEWEST} or more")


def truth_of(mixture: GaussianMixture, n: int, generator: torch.Generator) -> Truth:
    """The truth that n points are judged by."""
    samples = mixture.sample(n, generator)
    drawn = mixture.log_density(mixture.sample(20_000, generator))
    return Truth(mixture, samples, float(torch.quantile(drawn, OUTSIDE)))


def score(points: Tensor, truth: Truth) -> Scores:
    """Figures of points (N, 2), as many as the truth's samples.

    nll: mean negative log density. inside: share where the density is above the truth's edge (samples of the truth:
    1 - OUTSIDE). precision, recall: share of points within reach of a sample of the truth, and the other way round;
    a point reaches as far as its third neighbour of its own kind (Kynkäänniemi et al. 2019). coverage: share of the
    truth's samples that have a point within their own reach (Naeem et al. 2020), which stray points do not raise as
    they do recall. mmd: squared, unbiased. spread: trace of the covariance over that of the samples. Raises ValueError
    for another number of points, or for points that are not finite.
    """
    x, y = points.double(), truth.samples
    if x.shape != y.shape or not x.isfinite().all():
        raise ValueError(f"points have shape {tuple(x.shape)}, expected finite ones {tuple(y.shape)}, as the truth's")
    density = truth.mixture.log_density(x).numpy()
    own, cross, known = (torch.cdist(a, b).numpy().astype(np.float32) for a, b in ((x, x), (x, y), (y, y)))
    kernels = [_kernel(each) for each in (own, cross, known)]
    places = x.numpy(), y.numpy()

    def figures(i: Array, j: Array) -> list[float]:
        to_truth = cross[np.ix_(i, j)]
        by_truth = to_truth <= _reach(known[np.ix_(j, j)])[None, :]
        recall = (to_truth <= _reach(own[np.ix_(i, i)])[:, None]).any(0).mean()
        mmd = _mean_of_pairs(kernels[0][np.ix_(i, i)]) + _mean_of_pairs(kernels[2][np.ix_(j, j)])
        mmd -= 2 * kernels[1][np.ix_(i, j)].mean(dtype=float)
        spread = places[0][i].var(0).sum() / places[1][j].var(0).sum()
        inside = (density[i] > truth.edge).mean()
        return [-density[i].mean(), inside, by_truth.any(1).mean(), recall, by_truth.any(0).mean(), mmd, spread]

    everything = np.arange(len(x))
    found = [figures(everything, everything), *(figures(i, j) for i, j in _halves(len(x)))]
    values = np.array(found, float)
    return Scores(values[0], values[1:])


@cache
def _halves(n: int) -> tuple[tuple[Array, Array], ...]:
    rng = np.random.default_rng(0)
    return tuple((rng.permutation(n)[: n // 2], rng.permutation(n)[: n // 2]) for _ in range(HALVES))


def _reach(distances: Array) -> Array:
    """Distance of each to its NEIGHBOURS-th neighbour; its distance to itself, 0, comes first."""
    reach: Array = np.partition(distances, NEIGHBOURS, axis=1)[:, NEIGHBOURS]
    return reach


def _kernel(distances: Array) -> Array:
    squares = distances**2
    return sum(np.exp(squares * np.float32(-0.5 / width**2)) for width in WIDTHS) / len(WIDTHS)


def _mean_of_pairs(kernel: Array) -> float:
    """Over all pairs of different rows; the diagonal is 1."""
    n = len(kernel)
    return (float(kernel.sum(dtype=float)) - n) / (n * (n - 1))

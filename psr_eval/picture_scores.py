"""Fidelity and diversity of pictures, row by row, with intervals, and what one row has more of than another.

An item is what a seed gave of a prompt: a picture, or views of an object from the same cameras. Intervals are 1.96
standard deviations over items drawn with replacement, the same for every row, so that differences are paired; over
whole prompts where a row's seeds depend on each other. Distances are between two different items, so that one drawn
twice does not look like a collapse. An item that diverged counts in no figure, and in a difference neither does the
other row's of that prompt and seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from psr_eval.clip_scores import Array
from psr_eval.frechet import Statistics
from psr_eval.image_files import Pixels
from psr_eval.paired import Estimate, resampled_means
from psr_eval.picture_jobs import Result

RESAMPLES = 500


class Space(Protocol):
    """What CLIP says: features (N, D) of unit length, and agreement (N,) of pictures with texts."""

    def image_features(self, images: Iterable[Pixels], /) -> Array: ...
    def scores(self, images: Iterable[Pixels], prompts: Sequence[str], /) -> Array: ...


@dataclass(frozen=True, eq=False)
class Entry:
    """All items of a row, prompt by prompt (N = prompts x seeds). finite: (N,), which did not diverge. features: (N, D)
    of their pictures, as many for each item, or None; means: figures (N,) whose mean counts, nan where an item has
    none; distances: (N, N) between items."""

    row: Any
    results: tuple[Result, ...]
    finite: Array
    features: Array | None
    means: Mapping[str, Array]
    distances: Mapping[str, Array]

    def figure(self, name: str) -> float:
        """The mean over jobs of a figure that they kept, such as calls or seconds."""
        return float(np.mean([result.figures[name] for result in self.results]))

    def each(self, name: str) -> float:
        """The same for an iteration; nan where no run came to an end."""
        iterations = self.figure("iterations")
        return self.figure(name) / iterations if iterations else float("nan")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Entries by name, on the same prompts and seeds. real: features (M, D) of what is aimed at, None without CLIP.

    known: all metrics, in the order of the report; "frechet" is computed from the features."""

    entries: Mapping[str, Entry]
    prompts: tuple[str, ...]
    seeds: int
    real: Array | None
    known: tuple[str, ...]
    _drawn: dict[Any, Array] = field(default_factory=dict)

    def metrics(self) -> list[str]:
        """Those that were measured of any row."""
        return [metric for metric in self.known if any(self._has(entry, metric) for entry in self.entries.values())]

    def _has(self, entry: Entry, metric: str) -> bool:
        return metric in {*entry.means, *entry.distances} or (metric == "frechet" and self.real is not None)

    def estimate(self, name: str, metric: str) -> Estimate | None:
        """A row's figure; None where there is none, or nothing to compute it from."""
        entry = self.entries.get(name)
        if entry is None or not self._has(entry, metric):
            return None
        return _estimate(self._draws(entry, metric, entry.finite, entry.row.shares))

    def difference(self, one: str, other: str, metric: str) -> Estimate | None:
        """The paired difference of two rows' figures; None as in estimate()."""
        a, b = self.entries.get(one), self.entries.get(other)
        if a is None or b is None or not (self._has(a, metric) and self._has(b, metric)):
            return None
        common = a.finite & b.finite, a.row.shares or b.row.shares
        return _estimate(self._draws(a, metric, *common) - self._draws(b, metric, *common))

    def _draws(self, entry: Entry, metric: str, use: Array, by_prompt: bool) -> Array:
        """The figure (1 + RESAMPLES,) of the pictures in use, and of those drawn from them; nan where there is none."""
        key = entry.row.name, metric, use.tobytes(), by_prompt
        if key not in self._drawn:
            weights = self._weights(by_prompt) * use
            with np.errstate(invalid="ignore", divide="ignore"):
                if metric == "frechet":
                    pictures = 1 if entry.features is None else len(entry.features) // weights.shape[1]
                    each = np.repeat(weights, pictures, axis=1)
                    self._drawn[key] = frechet_distances(entry.features, self.real, each)
                elif metric in entry.means:
                    there = np.isfinite(entry.means[metric])
                    weights = weights * there
                    self._drawn[key] = (weights[:, there] @ entry.means[metric][there]) / weights.sum(1)
                else:
                    self._drawn[key] = mean_distances(entry.distances[metric], self._same_prompt(), weights)
        return self._drawn[key]

    def _weights(self, by_prompt: bool) -> Array:
        """How much each picture counts, (1 + RESAMPLES, N); the first of them all alike."""
        key = "weights", by_prompt
        if key not in self._drawn:
            n = len(self.prompts) if by_prompt else len(self.prompts) * self.seeds
            drawn = np.concatenate([np.full((1, n), 1 / n), resampled_means(np.eye(n), RESAMPLES)])
            self._drawn[key] = np.repeat(drawn / self.seeds, self.seeds, axis=1) if by_prompt else drawn
        return self._drawn[key]

    def _same_prompt(self) -> Array:
        prompt = np.repeat(np.arange(len(self.prompts)), self.seeds)
        return (prompt[:, None] == prompt) & ~np.eye(len(prompt), dtype=bool)


def _estimate(draws: Array) -> Estimate | None:
    value = float(draws[0])
    if not np.isfinite(value):
        return None
    error = 1.96 * float(np.nanstd(draws[1:], ddof=1))
    return Estimate(value, value - error, value + error)


def mean_distances(distances: Array, pairs: Array, weights: Array) -> Array:
    """Mean distance of a picture to those that it makes `pairs` (N, N) with, under weights (R, N): (R,), nan without a
    pair. Under even weights and with as many pairs for each picture, the mean over the pairs."""
    others = weights @ pairs.astype(float)
    near = np.divide(weights @ (distances * pairs), others, out=np.zeros_like(others), where=others > 0)
    weights = weights * (others > 0)
    with np.errstate(invalid="ignore"):
        return (weights * near).sum(1) / weights.sum(1)


def frechet_distances(features: Array | None, real: Array | None, weights: Array) -> Array:
    """Fréchet distance of features (N, D), under each of weights (R, N), to real ones (M, D): (R,).

    Under even weights psr_eval.frechet.frechet_distance of their statistics. The trace of the root of a product of
    covariances is that of an N x N matrix, N the pictures, so that resampling costs no more in a space of many
    dimensions. nan for fewer than two pictures.
    """
    if features is None or real is None:
        raise ValueError("features are missing; a Fréchet distance needs those of both sides")
    used = weights.any(0)
    features, weights = features[used], weights[:, used]
    if len(features) < 2:
        return np.full(len(weights), np.nan)
    target = Statistics.of(real)
    inner, through = features @ features.T, features @ target.covariance @ features.T
    to_mean, unbiased = features @ target.mean, len(features) / (len(features) - 1)
    found = []
    for part in np.array_split(weights, max(1, len(weights) // 50)):
        w = part / part.sum(1, keepdims=True)
        own = w @ inner
        square = (own * w).sum(1)
        mean = square - 2 * w @ to_mean + target.mean @ target.mean
        trace = unbiased * (w @ inner.diagonal() - square)
        crossed = w @ through
        centred = through - crossed[:, :, None] - crossed[:, None, :] + (crossed * w).sum(1)[:, None, None]
        root = np.sqrt(w)
        values = np.linalg.eigvalsh(root[:, :, None] * centred * root[:, None, :])
        both = np.sqrt(unbiased * values.clip(0)).sum(1)
        found.append(mean + trace + np.trace(target.covariance) - 2 * both)
    return np.concatenate(found).clip(0)


def root_mean_squares(a: Array, b: Array) -> Array:
    """The root mean square differences (N, M) of rows (N, D) and (M, D)."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(squares.clip(0) / a.shape[1])

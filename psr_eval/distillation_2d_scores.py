"""Fidelity and diversity of the pictures of every row, with intervals, and what one row has more of than another.

Intervals are 1.96 standard deviations over pictures (prompt, seed) drawn with replacement, the same for every row, so
that differences are paired; over whole prompts where a row's seeds share a critic. Distances are between two different
pictures, so that one drawn twice does not look like a collapse. A picture that diverged counts in no figure, and in a
difference neither does the other row's of that prompt and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from psr_eval.clip_scores import Array
from psr_eval.distillation_2d import Result
from psr_eval.distillation_2d_rows import Row
from psr_eval.frechet import Statistics
from psr_eval.image_files import Pixels
from psr_eval.paired import Estimate, resampled_means

RESAMPLES = 500
# Name: heading, whether more is better. Those of DISTANCES are to DDIM's picture of the same noise.
METRICS = {
    "text": ("agreement", True),
    "frechet": ("Fréchet", False),
    "diversity": ("diversity", True),
    "pixel_diversity": ("diversity, pixels", True),
    "to_ddim": ("to DDIM", False),
    "pixels_to_ddim": ("to DDIM, pixels", False),
}


class Space(Protocol):
    """What CLIP says: features (N, D) of unit length, and agreement (N,) of pictures with texts."""

    def image_features(self, images: Iterable[Pixels], /) -> Array: ...
    def scores(self, images: Iterable[Pixels], prompts: Sequence[str], /) -> Array: ...


@dataclass(frozen=True, eq=False)
class Entry:
    """All pictures of a row, prompt by prompt (N = prompts x seeds). finite: (N,), which did not diverge. features: (N,
    D) or None; means: figures (N,) whose mean counts; distances: (N, N) between pictures."""

    row: Row
    results: tuple[Result, ...]
    finite: Array
    features: Array | None
    means: Mapping[str, Array]
    distances: Mapping[str, Array]

    def figure(self, name: str) -> float:
        """The mean over prompts of a figure of Made: iterations, calls, model, seconds."""
        return float(np.mean([result.figures[name] for result in self.results]))

    def each(self, name: str) -> float:
        """The same for an iteration; nan where no run came to an end."""
        iterations = self.figure("iterations")
        return self.figure(name) / iterations if iterations else float("nan")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Entries by name, on the same prompts and seeds. real: features (M, D) of what is aimed at, None without CLIP."""

    entries: Mapping[str, Entry]
    prompts: tuple[str, ...]
    seeds: int
    real: Array | None
    _drawn: dict[Any, Array] = field(default_factory=dict)

    def metrics(self) -> list[str]:
        """Those that were measured of any row."""
        return [metric for metric in METRICS if any(self._has(entry, metric) for entry in self.entries.values())]

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
                    self._drawn[key] = frechet_distances(entry.features, self.real, weights)
                elif metric in entry.means:
                    self._drawn[key] = (weights @ entry.means[metric]) / weights.sum(1)
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


def compare(
    results: Sequence[Result],
    space: Space | None,
    real: Iterable[Pixels] | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Comparison:
    """Measures the results of rows, of each all prompts in one order. space, real: both or neither.

    progress(rows done, rows, what is measured) precedes each row.
    """
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.job.row.name, []).append(result)
    first = next(iter(by_row.values()))
    prompts, seeds = tuple(result.job.prompt for result in first), first[0].job.seeds
    progress(0, len(by_row), "what is aimed at")
    aim = None if space is None or real is None else space.image_features(real)
    ddim, entries = None, {}
    for done, (name, own) in enumerate(by_row.items()):
        progress(done, len(by_row), name)
        entry = _measured(own, space, ddim)
        entries[name] = entry
        if name == "DDIM":
            ddim = entry
    return Comparison(entries, prompts, seeds, aim)


def _measured(results: Sequence[Result], space: Space | None, ddim: Entry | None) -> Entry:
    pixels = np.concatenate([result.pictures for result in results])
    flat = pixels.reshape(len(pixels), -1).astype(np.float64) / 255
    means: dict[str, Array] = {}
    distances = {"pixel_diversity": root_mean_squares(flat, flat)}
    features = None
    if space is not None:
        prompts = [result.job.prompt for result in results for _ in result.pictures]
        means["text"], features = space.scores(pixels, prompts), space.image_features(pixels)
        distances["diversity"] = 1 - features @ features.T
    if ddim is not None:
        others = np.concatenate([result.pictures for result in ddim.results])
        means["pixels_to_ddim"] = np.sqrt(np.mean((flat - others.reshape(flat.shape) / 255) ** 2, axis=1))
        if features is not None and ddim.features is not None:
            means["to_ddim"] = 1 - (features * ddim.features).sum(1)
    finite = np.array([one for result in results for one in result.figures["finite"]], bool)
    return Entry(results[0].job.row, tuple(results), finite, features, means, distances)


def root_mean_squares(a: Array, b: Array) -> Array:
    """The root mean square differences (N, M) of rows (N, D) and (M, D)."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(squares.clip(0) / a.shape[1])

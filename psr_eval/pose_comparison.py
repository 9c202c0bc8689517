"""Which setting of a rotation sampler is better, and whether that is more than chance and the search for the best.

Every setting has sampled the same images from the same rotations and noise, so all comparisons are paired. All
differences are written so that positive is better: by how much the mean error is lower. A setting that is chosen from
several is chosen on one half of the images and judged on the other (psr_eval.paired).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.steering import Steering
from psr_eval.paired import (
    HELD_OUT,
    RESAMPLES,
    SELECTION,
    Difference,
    Estimate,
    random_sign_flip_p,
    resampled_means,
)
from psr_eval.pose_rows import Row, stock_row

THESIS = Steering(k=7.0, sigma=0.5)  # of table 1.1
THRESHOLDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # degrees

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """One setting on some images, intervals by bootstrap over them. error: mean, degrees; median: of all samples,
    degrees; accuracy: shares of samples that are off by no more than each of THRESHOLDS."""

    images: int
    error: Estimate
    median: float
    accuracy: tuple[Estimate, ...]


@dataclass(frozen=True)
class Change:
    """By how much the mean error is lower than another's: in degrees, and as a share of the other's."""

    degrees: Difference
    relative: Estimate


@dataclass(frozen=True)
class Result:
    """One setting on all images, and on those of each shape.

    steered: its change to score sampling by the same steps; to_baseline: to the first row. None for those themselves.
    """

    row: Row
    scores: Scores
    shapes: dict[str, Scores]
    steered: Change | None
    to_baseline: Change | None


@dataclass(frozen=True)
class Answer:
    """Whether PSR beats the baseline. row: the only one of `candidates`, or that of the least error on the selection
    half. change: over all images, or over the held-out half where the row had to be chosen."""

    row: Row
    candidates: tuple[Row, ...]
    images: int
    change: Change

    @property
    def verdict(self) -> str:
        """ "yes", "no", or "open" where the images do not tell."""
        return {"gain": "yes", "loss": "no"}.get(self.change.degrees.verdict, "open")


@dataclass(frozen=True)
class Comparison:
    """Results of all rows in their order, the first of which is the baseline, and the answers to the questions."""

    images: int
    samples: int
    results: tuple[Result, ...]
    answers: tuple[Answer, ...]

    @property
    def baseline(self) -> Row:
        """What the questions are about."""
        return self.results[0].row

    def result(self, row: Row) -> Result:
        """The result of that row."""
        return next(result for result in self.results if result.row == row)


def compare(errors: Mapping[Row, Array], shapes: Sequence[str], resamples: int = RESAMPLES) -> Comparison:
    """Compares rows by their errors (images, samples) in degrees on the same images; the first row is the baseline.

    shapes: what each image shows. Raises ValueError when rows differ in their images or samples, or there are fewer
    than two images.
    """
    rows, (images, samples) = list(errors), next(iter(errors.values())).shape
    if images < 2:
        raise ValueError(f"there are {images} images, expected 2 or more: one for each half")
    for row in rows:
        if errors[row].shape != (images, samples):
            raise ValueError(f"{row.name} has shape {errors[row].shape}, expected {images, samples} as {rows[0].name}")
    found = np.stack([errors[row] for row in rows])  # (rows, images, samples)
    means = found.mean(-1).T
    of_shape = {shape: np.array([each == shape for each in shapes]) for shape in dict.fromkeys(shapes)}
    overall = _scores(found, resamples)
    apart = {shape: _scores(found[:, shown], resamples) for shape, shown in of_shape.items()}
    stock = [rows.index(stock_row(rows, row) or rows[0]) for row in rows]
    steered, to_baseline = _changes(means, stock, resamples), _changes(means, [0] * len(rows), resamples)
    results = [
        Result(row, overall[i], {shape: scores[i] for shape, scores in apart.items()}, steered[i], to_baseline[i])
        for i, row in enumerate(rows)
    ]
    return Comparison(images, samples, tuple(results), tuple(_answers(rows, means, resamples)))


def _scores(errors: Array, resamples: int) -> list[Scores]:
    """Of each row of errors (rows, images, samples)."""
    within = np.stack([(errors <= threshold).mean(-1) for threshold in THRESHOLDS], -1)
    figures = np.concatenate([errors.mean(-1)[..., None], within], -1)  # (rows, images, 1 + thresholds)
    columns = figures.transpose(1, 0, 2).reshape(errors.shape[1], -1)
    limits = _limits(resampled_means(columns, resamples)).reshape(2, len(errors), -1)
    means = figures.mean(1)
    estimates = [
        [Estimate(*map(float, triple)) for triple in zip(*each, strict=True)]
        for each in zip(means, *limits, strict=True)
    ]
    return [
        Scores(errors.shape[1], error, float(np.median(row)), tuple(accuracy))
        for row, (error, *accuracy) in zip(errors, estimates, strict=True)
    ]


def _changes(means: Array, references: Sequence[int], resamples: int) -> list[Change | None]:
    """Of each column of mean errors (images, rows) to another column; None where that is the column itself."""
    others = means[:, references]
    gaps = others - means
    drawn = resampled_means(means, resamples)
    bases = drawn[:, references]
    shares = 1 - means.mean(0) / others.mean(0)
    degrees, relative = _limits(bases - drawn), _limits(1 - drawn / bases)
    ps = random_sign_flip_p(gaps, resamples)
    better, worse = (gaps > 0).sum(0), (gaps < 0).sum(0)

    def change(i: int) -> Change:
        gain = float(gaps[:, i].mean()), *map(float, degrees[:, i]), float(ps[i]), int(better[i]), int(worse[i])
        return Change(Difference(*gain), Estimate(float(shares[i]), *map(float, relative[:, i])))

    return [None if reference == i else change(i) for i, reference in enumerate(references)]


def _limits(drawn: Array) -> Array:
    """The 95 % intervals (2, m) of resampled figures (resamples, m)."""
    return np.quantile(drawn, [0.025, 0.975], axis=0)


def _answers(rows: Sequence[Row], means: Array, resamples: int) -> Iterator[Answer]:
    """For each number of steps: does PSR beat the baseline, whose steps are the first row's?"""
    base = rows[0]
    steered = [row for row in rows if row.is_psr and row.indexing == base.indexing]
    for steps in sorted({row.steps for row in steered}, reverse=True):
        for candidates in _choices([row for row in steered if row.steps == steps], base):
            places = [rows.index(row) for row in candidates]
            best = places[int(means[SELECTION, places].mean(0).argmin())]
            judged = means[slice(None) if len(candidates) == 1 else HELD_OUT][:, [0, best]]
            change = _changes(judged, [0, 0], resamples)[1]
            assert change is not None
            yield Answer(rows[best], tuple(candidates), len(judged), change)


def _choices(rows: list[Row], base: Row) -> list[list[Row]]:
    """The thesis' setting with and without the cap, of which nobody chooses, and the choice among all."""
    thesis = (THESIS, replace(THESIS, cap=True))
    alone = [[row] for row in rows if row.eta == base.eta and row.steering in thesis]
    return [*alone, rows] if [rows] != alone else alone

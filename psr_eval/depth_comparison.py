"""Which setting of a depth model is better, and whether that is more than chance and the search for the best.

Every setting has estimated the same images from the same noise, so all comparisons are paired. All differences are
written so that positive is better: by how much AbsRel is lower, by how much δ1 is higher. What several settings are
chosen from is chosen on one half of the images (even positions) and judged on the other (psr_eval.paired).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.statistics import paired_bootstrap
from psr_core.steering import Steering
from psr_eval.depth_rows import Row
from psr_eval.paired import HELD_OUT, RESAMPLES, SELECTION, Difference, sign_flip_p
from psr_perception.depth.metrics import DepthMetrics, mean_metrics

THESIS = Steering(k=1.3, sigma=10.0)  # of table 1.2
BEATS, REACHES = "beats", "reaches"

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """One setting on all images. metrics: means; abs_rel95, delta1_95: their 95 % bootstrap intervals over images.

    difference: by how much its AbsRel is lower than the baseline's; delta1_difference: its δ1 higher; None for that
    itself.
    """

    row: Row
    metrics: DepthMetrics
    abs_rel95: tuple[float, float]
    delta1_95: tuple[float, float]
    difference: Difference | None
    delta1_difference: Difference | None


@dataclass(frozen=True)
class Answer:
    """Whether a steered row beats, or reaches, one without steering.

    row: the only one of `candidates`, or the one with the least AbsRel on the selection half. difference: by how much
    its AbsRel is lower than the reference's, over all images, or over the held-out half where it had to be chosen.
    """

    question: str
    row: Row
    reference: Row
    candidates: tuple[Row, ...]
    images: int
    difference: Difference

    @property
    def verdict(self) -> str:
        """ "yes", "no", or "open" where the images do not tell.

        "yes" is a gain or, for `reaches`, also no difference on any image. "no" is a loss.
        """
        same = self.question == REACHES and self.difference.better == self.difference.worse == 0
        return "yes" if same else {"gain": "yes", "loss": "no"}.get(self.difference.verdict, "open")


@dataclass(frozen=True)
class Comparison:
    """Results of all rows in their order, the first of which is the baseline, and the answers to the questions."""

    images: int
    results: tuple[Result, ...]
    answers: tuple[Answer, ...]

    @property
    def baseline(self) -> Row:
        """What all rows are compared with."""
        return self.results[0].row

    def result(self, row: Row) -> Result:
        """The result of that row."""
        return next(result for result in self.results if result.row == row)


def compare(metrics: Mapping[Row, Sequence[DepthMetrics]], resamples: int = RESAMPLES) -> Comparison:
    """Compares rows by their metrics on the same images in the same order; the first row is the baseline.

    Raises ValueError when rows differ in their number of images, or there are fewer than two.
    """
    rows = list(metrics)
    images = len(metrics[rows[0]])
    if images < 2:
        raise ValueError(f"there are {images} images, expected 2 or more: one for each half")
    for row in rows:
        if len(metrics[row]) != images:
            raise ValueError(f"{row.name} has {len(metrics[row])} images, expected {images} as {rows[0].name} has")
    abs_rel = {row: np.array([each.abs_rel for each in metrics[row]]) for row in rows}
    delta1 = {row: np.array([each.delta1 for each in metrics[row]]) for row in rows}

    def result(row: Row) -> Result:
        base, other = rows[0], row != rows[0]
        return Result(
            row,
            mean_metrics(metrics[row]),
            _interval(abs_rel[row], resamples),
            _interval(delta1[row], resamples),
            improvement(abs_rel[base], abs_rel[row], resamples) if other else None,
            improvement(-delta1[base], -delta1[row], resamples) if other else None,
        )

    return Comparison(images, tuple(map(result, rows)), tuple(_answers(rows, abs_rel, resamples)))


def improvement(base: Array, other: Array, resamples: int = RESAMPLES) -> Difference:
    """By how much the errors (images,) of `other` lie below those of `base`.

    The test rounds to a thousandth of the largest difference.
    """
    mean, low, high = paired_bootstrap(other, base, n=resamples)
    gaps = base - other
    p = sign_flip_p(gaps / (np.abs(gaps).max() or 1.0))
    return Difference(mean, low, high, p, int((gaps > 0).sum()), int((gaps < 0).sum()))


def _interval(values: Array, resamples: int) -> tuple[float, float]:
    _, low, high = paired_bootstrap(np.zeros_like(values), values, n=resamples)
    return low, high


def _answers(rows: Sequence[Row], abs_rel: Mapping[Row, Array], resamples: int) -> Iterator[Answer]:
    """For each ensemble size of PSR: does it beat the same ensemble unsteered, and does it reach the largest?"""
    sampler = rows[0].sampler
    stock = {row.ensemble: row for row in rows if row.is_stock and row.sampler == sampler}
    steered = [row for row in rows if row.is_psr and row.sampler == sampler]
    for size in sorted({row.ensemble for row in steered}):
        same = [row for row in steered if row.ensemble == size]
        asked = {BEATS: stock.get(size), REACHES: stock[max(stock)] if min(stock) < size < max(stock) else None}
        for question, reference in asked.items():
            for candidates in _choices(same) if reference else ():
                yield _answer(question, candidates, reference, abs_rel, resamples)


def _choices(rows: list[Row]) -> list[list[Row]]:
    """The thesis' setting, of which nobody chooses, and the choice among all."""
    thesis = [row for row in rows if row.steering == THESIS]
    return [thesis, rows] if thesis and len(rows) > 1 else [rows]


def _answer(
    question: str, candidates: Sequence[Row], reference: Row, abs_rel: Mapping[Row, Array], resamples: int
) -> Answer:
    row = min(candidates, key=lambda each: float(abs_rel[each][SELECTION].mean()))
    judged = slice(None) if len(candidates) == 1 else HELD_OUT
    found = improvement(abs_rel[reference][judged], abs_rel[row][judged], resamples)
    return Answer(question, row, reference, tuple(candidates), len(abs_rel[row][judged]), found)

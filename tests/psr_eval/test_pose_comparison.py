"""Comparing rotation samplers on made-up errors whose truth is known: what is found, and what is answered."""

from __future__ import annotations

import numpy as np
import pytest

from psr_eval.pose_comparison import THESIS, THRESHOLDS, compare
from psr_eval.pose_rows import Row
from tests.psr_eval.pose_oracle import psr

IMAGES = 60
SHAPES = ["cube", "cube", "cone", "cone"] * (IMAGES // 4)
HARDNESS = np.random.default_rng(0).uniform(0.2, 3.0, (IMAGES, 1))  # what images differ by, far more than settings do
BASE, SHORT = Row(100), Row(10)
PLAIN, CAPPED = Row(100, 1.0, THESIS), Row(10, 1.0, psr(cap=True))


def _compare(errors, shapes=SHAPES):
    return compare(errors, shapes, 400)


def _noise(seed, size=0.1):
    return size * np.random.default_rng(seed).standard_normal((IMAGES, 1))


class TestScores:
    def test_mean_median_and_accuracy_are_those_of_all_samples(self):
        errors = np.array([[0.1, 4.0], [0.15, 0.3]])
        scores = _compare({BASE: errors}, ["cube", "cube"]).result(BASE).scores
        assert scores.error.mean == pytest.approx(errors.mean())
        assert scores.median == pytest.approx(np.median(errors))
        assert [each.mean for each in scores.accuracy] == [(errors <= limit).mean() for limit in THRESHOLDS]

    def test_intervals_are_over_images_not_samples(self):
        """Ten equal samples of an image tell no more than one."""
        one, ten = (_compare({BASE: np.repeat(HARDNESS, n, 1)}).result(BASE).scores.error for n in (1, 10))
        assert (one.low, one.high) == pytest.approx((ten.low, ten.high))
        standard_error = HARDNESS.std() / np.sqrt(IMAGES)
        assert one.high - one.low == pytest.approx(2 * 1.96 * standard_error, rel=0.2)

    def test_of_a_shape_are_those_of_its_images(self):
        shown = np.array([shape == "cone" for shape in SHAPES])
        scores = _compare({BASE: HARDNESS}).result(BASE).shapes["cone"]
        assert (scores.images, scores.error.mean) == (shown.sum(), pytest.approx(HARDNESS[shown].mean()))


class TestChanges:
    def test_a_row_better_by_a_tenth_everywhere_is_found_however_different_the_images(self):
        change = _compare({BASE: HARDNESS, PLAIN: 0.9 * HARDNESS}).result(PLAIN).steered
        assert (change.relative.mean, change.relative.low, change.relative.high) == pytest.approx((0.1, 0.1, 0.1))
        assert change.degrees.mean == pytest.approx(0.1 * HARDNESS.mean())
        assert (change.degrees.better, change.degrees.worse, change.degrees.verdict) == (IMAGES, 0, "gain")

    def test_each_row_has_its_own_reference_and_the_baseline(self):
        found = _compare({BASE: HARDNESS, SHORT: 2 * HARDNESS, CAPPED: HARDNESS})
        capped = found.result(CAPPED)
        assert capped.steered.relative.mean == pytest.approx(0.5)
        assert capped.to_baseline.relative.mean == pytest.approx(0)
        short = found.result(SHORT)
        assert short.steered is None and short.to_baseline.relative.mean == pytest.approx(-1)
        assert found.result(BASE).steered is found.result(BASE).to_baseline is None

    def test_chance_is_seldom_called_a_gain(self):
        rows = {Row(100, 1.0, psr(2 + i)): HARDNESS + _noise(i) for i in range(100)}
        results = _compare({BASE: HARDNESS, **rows}).results[1:]
        assert sum(result.steered.degrees.verdict != "none" for result in results) <= 11  # 5 and three deviations


class TestAnswers:
    def test_are_about_the_baseline_at_every_number_of_steps(self):
        found = _compare({BASE: HARDNESS, SHORT: HARDNESS + 1, PLAIN: HARDNESS - 0.1, CAPPED: HARDNESS + 0.1})
        assert [(answer.row, answer.verdict) for answer in found.answers] == [(PLAIN, "yes"), (CAPPED, "no")]

    def test_what_the_images_do_not_tell_stays_open(self):
        noise = _noise(1) - _noise(1).mean()
        (answer,) = _compare({BASE: HARDNESS, PLAIN: HARDNESS + noise}).answers
        assert answer.verdict == "open"

    def test_the_best_of_several_is_chosen_on_one_half_and_judged_on_the_other(self):
        lucky = HARDNESS.copy()
        lucky[0::2] -= 0.2
        lucky[1::2] += 0.1
        other = Row(100, 1.0, psr(2))
        thesis, best = _compare({BASE: HARDNESS, PLAIN: HARDNESS - 0.05, other: lucky}).answers
        assert (thesis.row, thesis.images, thesis.verdict) == (PLAIN, IMAGES, "yes")  # nobody chose it
        assert (best.row, best.images, best.verdict) == (other, IMAGES // 2, "no")
        assert best.change.degrees.mean == pytest.approx(-0.1)

    def test_other_indexing_is_another_question(self):
        upstream = Row(100, indexing="upstream")
        rows = {BASE: HARDNESS, upstream: HARDNESS, Row(100, 1.0, THESIS, "upstream"): HARDNESS}
        assert _compare(rows).answers == ()


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ({BASE: HARDNESS[:1]}, "there are 1 images, expected 2 or more"),
        ({BASE: HARDNESS, PLAIN: HARDNESS[:4]}, "psr k=7 σ=0.5, 100 steps has shape"),
    ],
)
def test_what_cannot_be_paired_is_refused(errors, told):
    with pytest.raises(ValueError, match=told):
        _compare(errors)

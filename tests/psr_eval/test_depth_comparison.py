"""Comparing depth settings on made-up metrics whose truth is known: what is found, and what is answered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_eval.depth_comparison import BEATS, REACHES, compare, improvement
from psr_eval.depth_rows import Row
from tests.psr_eval.depth_rooms import DDIM, DDIM2, DDIM10, made_up, psr

IMAGES = 40
HARDNESS = np.random.default_rng(0).uniform(0.03, 0.3, IMAGES)  # what images differ by, far more than settings do
THESIS = psr(1.3)


def _compare(values):
    return compare(made_up(values), 300)


def _noise(seed, size=0.01):
    return size * np.random.default_rng(seed).standard_normal(IMAGES)


def _answer(comparison, question, ensemble, chosen=False):
    (found,) = (
        answer
        for answer in comparison.answers
        if (answer.question, answer.row.ensemble, len(answer.candidates) > 1) == (question, ensemble, chosen)
    )
    return found


class TestResults:
    def test_means_and_intervals(self):
        result = _compare({DDIM: HARDNESS, THESIS: HARDNESS - 0.01}).result(DDIM)
        assert result.metrics.abs_rel == pytest.approx(HARDNESS.mean())
        standard_error = HARDNESS.std() / np.sqrt(IMAGES)
        low, high = result.abs_rel95
        assert low == pytest.approx(HARDNESS.mean() - 1.96 * standard_error, abs=0.4 * standard_error)
        assert high == pytest.approx(HARDNESS.mean() + 1.96 * standard_error, abs=0.4 * standard_error)
        assert result.delta1_95 == pytest.approx((1 - high, 1 - low), abs=0.4 * standard_error)
        assert result.difference is result.delta1_difference is None

    def test_a_row_better_by_a_constant_is_found_however_different_the_images(self):
        result = _compare({DDIM: HARDNESS, THESIS: HARDNESS - 0.001}).result(THESIS)
        for found in (result.difference, result.delta1_difference):
            assert (found.mean, found.low, found.high) == pytest.approx((0.001, 0.001, 0.001))
            assert (found.better, found.worse, found.verdict) == (IMAGES, 0, "gain")

    def test_a_worse_row_is_a_loss(self):
        found = _compare({DDIM: HARDNESS, THESIS: HARDNESS + 0.001}).result(THESIS).difference
        assert found.mean == pytest.approx(-0.001)
        assert found.verdict == "loss"

    def test_identical_rows_differ_by_nothing(self):
        found = _compare({DDIM: HARDNESS, THESIS: HARDNESS}).result(THESIS).difference
        assert (found.mean, found.low, found.high, found.p, found.verdict) == (0, 0, 0, 1, "none")

    @settings(max_examples=30)
    @given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(-9, 9).map(lambda n: 2.0**n))
    def test_the_unit_does_not_matter_to_the_test(self, values, unit):
        base, other = np.array(values), np.array(values[::-1])
        assert improvement(base * unit, other * unit, 1).p == pytest.approx(improvement(base, other, 1).p)

    def test_chance_is_seldom_called_a_gain(self):
        called = sum(improvement(HARDNESS, HARDNESS + _noise(seed), 100).verdict != "none" for seed in range(100))
        assert called <= 11  # of 100: 5 and three standard deviations


class TestAnswers:
    def test_psr_that_is_better_everywhere_beats_and_reaches(self):
        found = _compare(
            {
                DDIM: HARDNESS,
                DDIM10: HARDNESS - 0.02 + _noise(0, 0.001),
                THESIS: HARDNESS - 0.01 + _noise(1, 0.001),
                psr(1.3, ensemble=2): HARDNESS - 0.03 + _noise(2, 0.001),
            }
        )
        assert _answer(found, BEATS, 1).verdict == "yes"
        assert _answer(found, BEATS, 1).difference.mean == pytest.approx(0.01, abs=0.001)
        assert (_answer(found, REACHES, 2).verdict, _answer(found, REACHES, 2).reference) == ("yes", DDIM10)

    def test_psr_that_only_comes_near_does_not_reach(self):
        found = _compare(
            {
                DDIM: HARDNESS,
                DDIM10: HARDNESS - 0.02,
                THESIS: HARDNESS + 0.01 + _noise(1, 0.001),
                psr(1.3, ensemble=2): HARDNESS - 0.015 + _noise(2, 0.001),
            }
        )
        assert _answer(found, BEATS, 1).verdict == "no"
        assert _answer(found, REACHES, 2).verdict == "no"

    def test_what_the_images_do_not_tell_stays_open(self):
        found = _compare(
            {
                DDIM: HARDNESS,
                DDIM10: HARDNESS - 0.02,
                THESIS: HARDNESS + _noise(1) - _noise(1).mean(),
                psr(1.3, ensemble=2): HARDNESS - 0.02 + _noise(2) - _noise(2).mean(),
            }
        )
        assert _answer(found, BEATS, 1).verdict == "open"
        assert _answer(found, REACHES, 2).verdict == "open"

    def test_to_do_the_same_on_every_image_is_to_reach_and_not_to_beat(self):
        found = _compare({DDIM: HARDNESS, DDIM2: HARDNESS, DDIM10: HARDNESS, psr(1.3, ensemble=2): HARDNESS})
        assert _answer(found, REACHES, 2).verdict == "yes"
        assert _answer(found, BEATS, 2).verdict == "open"
        assert _answer(found, BEATS, 2).reference == DDIM2

    def test_two_images_prove_nothing(self):
        found = _compare({DDIM: [0.2, 0.3], DDIM10: [0.2, 0.3], THESIS: [0.1, 0.1], psr(1.3, ensemble=2): [0.1, 0.1]})
        assert {answer.verdict for answer in found.answers} == {"open"}

    def test_the_best_of_several_is_chosen_on_one_half_and_judged_on_the_other(self):
        lucky = HARDNESS.copy()
        lucky[0::2] -= 0.02
        lucky[1::2] += 0.01
        found = _compare({DDIM: HARDNESS, THESIS: HARDNESS - 0.005, psr(3): lucky, psr(0.7): HARDNESS + 0.01})
        answer = _answer(found, BEATS, 1, chosen=True)
        assert (answer.row, answer.images, answer.verdict) == (psr(3), IMAGES // 2, "no")
        assert answer.difference.mean == pytest.approx(-0.01)
        thesis = _answer(found, BEATS, 1)  # nobody chose it
        assert (thesis.row, thesis.images, thesis.verdict) == (THESIS, IMAGES, "yes")

    def test_the_best_of_rows_that_are_all_alike_brings_nothing_on_average(self):
        gains = []
        for seed in range(30):
            rows = {psr(2 + place): HARDNESS + _noise(100 * seed + place) for place in range(12)}
            found = compare(made_up({DDIM: HARDNESS + _noise(5000 + seed), **rows}), 1)
            gains.append(_answer(found, BEATS, 1, chosen=True).difference.mean)
        assert abs(np.mean(gains)) < 2.5 * np.std(gains) / np.sqrt(30)

    def test_only_what_has_its_reference_is_asked(self):
        assert _compare({DDIM: HARDNESS, DDIM10: HARDNESS}).answers == ()
        found = _compare({DDIM: HARDNESS, psr(1.3, ensemble=2): HARDNESS}).answers
        assert found == ()
        other = _compare({DDIM: HARDNESS, psr(1.3, sampler="ddpm"): HARDNESS}).answers
        assert other == ()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({DDIM: [0.1]}, "there are 1 images, expected 2 or more"),
        ({DDIM: [0.1, 0.2], Row("ddpm"): [0.1]}, "DDPM has 1 images, expected 2 as DDIM has"),
    ],
)
def test_what_cannot_be_paired_is_refused(values, told):
    with pytest.raises(ValueError, match=told):
        _compare(values)

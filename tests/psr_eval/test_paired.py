"""Paired tests and intervals of many settings at once: they agree with those of one."""

from __future__ import annotations

import numpy as np
import pytest

from psr_core.statistics import paired_bootstrap
from psr_eval.paired import Estimate, random_sign_flip_p, resampled_means, sign_flip_p, tally, verdict


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class TestRandomSignFlip:
    def test_agrees_with_the_exact_test(self):
        differences = np.rint(100 * (normal(12, 5) + 0.3)) / 100
        exact = [sign_flip_p(column) for column in differences.T]
        assert random_sign_flip_p(differences) == pytest.approx(exact, abs=0.02)

    def test_nothing_differs_from_nothing(self):
        assert random_sign_flip_p(np.zeros((10, 1)), 100) == 1

    def test_its_least_value_is_that_of_no_assignment(self):
        assert random_sign_flip_p(np.ones((40, 1)), 99) == pytest.approx(0.01)

    def test_equal_sums_count_in_spite_of_rounding(self):
        """All assignments of one pair are as far from 0 as it is."""
        assert random_sign_flip_p(np.full((1, 1), 0.1), 100) == 1


class TestResampledMeans:
    def test_have_the_bootstraps_interval(self):
        values = normal(60, 2) + 3
        low, high = np.quantile(resampled_means(values), [0.025, 0.975], axis=0)
        for column in range(2):
            _, *expected = paired_bootstrap(np.zeros(60), values[:, column])
            assert (low[column], high[column]) == pytest.approx(expected, abs=0.02)

    def test_all_columns_are_drawn_alike(self):
        values = normal(30, 1)
        drawn = resampled_means(np.concatenate([values, values + 1], 1), 1200)
        assert drawn.shape == (1200, 2)
        np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 1)


@pytest.mark.parametrize(("low", "high", "word"), [(0.1, 0.3, "yes"), (-0.3, -0.1, "no"), (-0.1, 0.3, "open")])
def test_a_verdict_needs_an_interval_without_0(low, high, word):
    assert verdict(Estimate((low + high) / 2, low, high)) == word


def test_tallies_count_what_was_asked():
    assert tally(["yes", "no", "", "yes", "open"]) == "yes in 2, no in 1, open in 1 of 4"
    assert tally(["", ""]) == "" == verdict(None)

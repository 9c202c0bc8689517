"""Comparing settings: against brute force, on cases with a known answer, and with selection bias on purpose."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_core.statistics import mcnemar_exact, wilson_interval
from psr_core.steering import Steering
from psr_eval.policy_comparison import Difference, compare, difference, sign_flip_p
from psr_eval.policy_rows import Row
from tests.psr_eval.policy_outcomes import DDIM, DDPM, made_up, psr

thousandths = st.integers(-1000, 1000).map(lambda n: n / 1000)
FEW = 200  # resamples: enough where the interval itself is not the point


def _compare(values, score="success"):
    return compare(made_up({row: np.asarray(table, float) for row, table in values.items()}), score, FEW)


def _ones(count, states, first=0):
    """Numbers (states,): 1 at `count` positions from `first` on."""
    table = np.zeros(states)
    table[first : first + count] = 1
    return table


class TestSignFlips:
    @given(st.lists(thousandths, max_size=9))
    def test_agrees_with_all_assignments_of_signs(self, differences):
        steps = [round(1000 * d) for d in differences]
        sums = [np.dot(signs, steps) for signs in product((1, -1), repeat=len(steps))]
        expected = np.mean([abs(total) >= abs(sum(steps)) for total in sums])
        assert sign_flip_p(np.array(differences)) == pytest.approx(expected, rel=1e-9)

    @given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 20))
    def test_is_mcnemars_for_single_successes(self, b, c, equal):
        assert sign_flip_p(np.array([1] * b + [-1] * c + [0] * equal)) == pytest.approx(mcnemar_exact(b, c), rel=1e-9)

    def test_copies_of_a_checkpoint_bring_no_evidence(self):
        single = np.array([1, 1, 1, 1, -1, 0])
        assert sign_flip_p(5 * single) == sign_flip_p(single)

    def test_many_states_stay_exact(self):
        assert sign_flip_p(np.ones(900)) == pytest.approx(2.0**-899, rel=1e-6)


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "p", "verdict"),
        [
            (0.01, 0.09, 0.01, "gain"),
            (-0.09, -0.01, 0.01, "loss"),
            (-0.01, 0.11, 0.01, "none"),  # the interval includes equality
            (0.0, 0.1, 0.01, "none"),
            (0.01, 0.09, 0.05, "none"),  # the test does not exclude chance
        ],
    )
    def test_needs_interval_and_test(self, low, high, p, verdict):
        assert Difference((low + high) / 2, low, high, p, 0, 0).verdict == verdict

    def test_two_states_prove_nothing(self):
        found = difference(np.zeros((1, 2)), np.ones((1, 2)))
        assert (found.low, found.high) == (1.0, 1.0)  # the bootstrap knows no other value
        assert found.verdict == "none"


class TestComparison:
    def test_counts_and_intervals(self):
        base, other = [[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], [[1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]]
        found = _compare({DDIM: base, psr(2): other})
        result = found.result(psr(2))
        assert (result.successes, result.episodes) == (6, 12)
        assert result.wilson95 == wilson_interval(6, 12)
        assert result.scores == (0.5, 0.5)
        assert result.spread == 0
        assert found.result(DDIM).scores == pytest.approx((2 / 6, 1 / 6))
        assert found.result(DDIM).spread == pytest.approx(np.std([2 / 6, 1 / 6], ddof=1))
        assert (result.difference.better, result.difference.worse) == (4, 1)
        assert result.difference.mean == pytest.approx(3 / 12)
        assert result.difference.p == result.success_p == sign_flip_p(np.array([-1, 1, 2, 1, 0, 0]))
        assert found.result(DDIM).difference is found.result(DDIM).success_p is None

    def test_one_checkpoint_has_no_spread(self):
        assert _compare({DDIM: [0, 1], psr(2): [1, 1]}).result(DDIM).spread is None

    def test_identical_outcomes_differ_by_nothing(self):
        table = np.random.default_rng(0).random((2, 30)).round()
        found = _compare({DDIM: table, psr(2): table})
        assert found.result(psr(2)).difference == Difference(0.0, 0.0, 0.0, 1.0, 0, 0)
        assert found.overall.chosen == found.overall.best == DDIM  # nobody changes for nothing
        assert found.overall.held_out is None
        assert found.overall.confirmed == DDIM

    def test_a_setting_that_wins_everywhere_is_confirmed(self):
        found = _compare({DDIM: np.zeros(30), psr(2): np.ones(30), psr(3): _ones(20, 30)}).overall
        assert found.best == found.chosen == found.confirmed == psr(2)
        assert found.verdict == "gain"
        assert found.held_out == Difference(1.0, 1.0, 1.0, 2.0**-14, 15, 0)

    def test_what_wins_on_the_selection_half_alone_is_unmasked(self):
        lucky = np.tile([1.0, 0.0], 20)  # even positions
        found = _compare({DDIM: np.tile([0.0, 1.0], 20), psr(2): lucky}).overall
        assert (found.chosen, found.selection_gain) == (psr(2), 1.0)
        assert found.verdict == "loss"
        assert found.confirmed == DDIM

    def test_rewards_are_compared_where_they_are_the_score(self):
        base = np.full(20, 0.4)
        values = {DDIM: base, psr(2): base + 0.2, psr(3): np.where(np.arange(20) < 1, 1.0, 0.3)}
        found = _compare(values, "max_reward")
        assert found.overall.chosen == psr(2)
        assert found.overall.held_out.mean == pytest.approx(0.2)
        assert found.overall.verdict == "gain"
        assert found.result(psr(2)).success_p == 1.0
        assert _compare(values).overall.chosen == psr(3)

    def test_each_sampler_is_its_own_baseline_and_the_first_is_everybodys(self):
        ddpm = psr(2, sampler="ddpm")
        nns = Row("ddpm", Steering(k=2.0, method="nns"))
        rows = {DDIM: _ones(10, 40), DDPM: _ones(20, 40), ddpm: _ones(30, 40), nns: _ones(5, 40), psr(2): _ones(11, 40)}
        found = _compare(rows)
        assert found.result(ddpm).difference.mean == 0.25
        assert found.result(DDPM).difference is None
        families = {choice.name: choice for choice in found.families}
        assert list(families) == ["DDPM + PSR", "DDPM + naive noise scaling", "DDIM + PSR"]
        assert families["DDPM + PSR"].baseline == DDPM
        assert families["DDPM + naive noise scaling"].best_difference.mean == pytest.approx(-15 / 40)
        assert (found.overall.baseline, found.overall.chosen) == (DDIM, ddpm)
        assert found.overall.best_difference.mean == 0.5

    @given(st.permutations(range(12)))
    def test_the_order_of_the_episodes_does_not_matter(self, order):
        rng = np.random.default_rng(3)
        outcomes = made_up({DDIM: rng.random((2, 12)).round(), psr(2): rng.random((2, 12)).round()})
        shuffled = {
            row: [{seed: each[seed] for seed in (list(each)[i] for i in order)} for each in found]
            for row, found in outcomes.items()
        }
        assert compare(shuffled, "success", 20) == compare(outcomes, "success", 20)

    def test_the_best_of_noise_looks_good_until_it_is_confirmed(self):
        """Ten settings that differ by chance alone, judged 60 times."""
        rng = np.random.default_rng(5)
        flattered, held_out = [], []
        for _ in range(60):
            rows = {row: rng.integers(0, 2, 40) for row in (DDIM, *map(psr, range(2, 12)))}
            choice = compare(made_up(rows), "success", 20).families[0]
            flattered.append(choice.best_difference.mean)
            held_out.append(choice.held_out.mean)
        error = np.std(held_out) / 60**0.5
        assert np.mean(flattered) > 0.08
        assert abs(np.mean(held_out)) < 3 * error < 0.07

    @pytest.mark.parametrize(
        ("values", "score", "told"),
        [
            ({DDIM: [1.0]}, "success", "there are 1 initial states, expected 2 or more"),
            (
                {DDIM: [1.0, 0.0], psr(2): [1.0]},
                "success",
                "psr k=2 σ=0.1 has other checkpoints or initial",
            ),
            ({DDIM: [[1, 0], [0, 1]], psr(2): [1, 0]}, "success", "has other checkpoints or initial states"),
            ({DDIM: [1, 0], psr(2, sampler="ddpm"): [1, 0]}, "success", "no row without steering for sampler ddpm"),
            ({DDIM: [1, 0]}, "steps", "score is 'steps', expected success or max_reward"),
        ],
    )
    def test_what_is_not_paired_is_refused(self, values, score, told):
        with pytest.raises(ValueError, match=told):
            _compare(values, score)

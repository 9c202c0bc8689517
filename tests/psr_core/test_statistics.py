import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from psr_core.statistics import bootstrap_ratio, mcnemar_exact, paired_bootstrap, wilson_interval

counts = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


class TestWilson:
    @given(counts.filter(lambda c: c[1] > 0), st.sampled_from([0.8, 0.95, 0.99]))
    def test_agrees_with_scipy(self, count, confidence):
        successes, n = count
        reference = binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert wilson_interval(successes, n, confidence) == pytest.approx((reference.low, reference.high), abs=1e-12)

    @given(counts.filter(lambda c: c[1] > 0))
    def test_contains_the_rate_and_stays_within_0_and_1(self, count):
        successes, n = count
        low, high = wilson_interval(successes, n)
        assert 0 <= low <= successes / n <= high <= 1

    @given(counts)
    def test_failures_mirror_successes(self, count):
        successes, n = count
        low, high = wilson_interval(successes, n)
        assert wilson_interval(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)

    def test_known_value(self):
        assert wilson_interval(45, 50) == pytest.approx((0.7864, 0.9565), abs=1e-4)

    def test_nothing_is_known_without_trials(self):
        assert wilson_interval(0, 0) == (0.0, 1.0)

    @pytest.mark.parametrize("arguments", [(-1, 5), (6, 5), (1, 5, 0.0), (1, 5, 1.0)])
    def test_refuses_impossible_arguments(self, arguments):
        with pytest.raises(ValueError, match="expected"):
            wilson_interval(*arguments)


class TestMcNemar:
    @given(st.integers(0, 80), st.integers(0, 80))
    def test_agrees_with_the_binomial_test(self, b, c):
        reference = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        assert mcnemar_exact(b, c) == pytest.approx(reference, rel=1e-9)

    @given(st.integers(0, 80), st.integers(0, 80))
    def test_is_symmetric(self, b, c):
        assert mcnemar_exact(b, c) == mcnemar_exact(c, b)

    def test_known_value(self):
        assert mcnemar_exact(1, 9) == pytest.approx(22 / 1024)

    def test_refuses_negative_counts(self):
        with pytest.raises(ValueError, match="-1"):
            mcnemar_exact(-1, 2)


class TestPairedBootstrap:
    def test_mean_is_what_y_brings_over_x(self):
        mean, low, high = paired_bootstrap([0, 0, 1, 1], [1, 0, 1, 1], n=500)
        assert mean == 0.25
        assert low == 0.0 <= mean <= high <= 1.0

    def test_a_constant_difference_has_no_width(self):
        assert paired_bootstrap([1.0, 2.0, 3.0], [3.0, 4.0, 5.0], n=100) == (2.0, 2.0, 2.0)

    def test_same_arguments_same_interval_other_seed_another(self):
        x, y = np.random.default_rng(0).normal(size=(2, 30))
        assert paired_bootstrap(x, y, seed=3, n=300) == paired_bootstrap(x, y, seed=3, n=300)
        assert paired_bootstrap(x, y, seed=3, n=300) != paired_bootstrap(x, y, seed=4, n=300)

    def test_interval_has_the_width_of_the_central_limit(self):
        difference = np.random.default_rng(1).normal(0.3, 1.0, 400)
        mean, low, high = paired_bootstrap(np.zeros(400), difference, n=2000)
        assert (high - low) / 2 == pytest.approx(1.96 * difference.std() / 20, rel=0.1)
        assert low < mean < high

    def test_swapping_the_arguments_changes_the_sign(self):
        x, y = np.random.default_rng(2).normal(size=(2, 10))
        mean, low, high = paired_bootstrap(x, y, n=200)
        assert paired_bootstrap(y, x, n=200) == pytest.approx((-mean, -high, -low))

    @pytest.mark.parametrize("x, y", [([1.0], [1.0, 2.0]), ([], []), ([np.nan], [1.0]), ([[1.0]], [[1.0]])])
    def test_refuses_what_is_not_paired_and_finite(self, x, y):
        with pytest.raises(ValueError, match="expected"):
            paired_bootstrap(x, y)


class TestBootstrapRatio:
    @given(st.floats(0.01, 100), st.integers(2, 30))
    def test_what_is_always_the_same_share_has_no_spread(self, share, pairs):
        x = np.random.default_rng(pairs).uniform(1, 2, pairs)
        assert bootstrap_ratio(x, share * x, n=50) == pytest.approx((share, share, share))

    def test_its_interval_has_the_width_that_theory_gives(self):
        """The delta method's standard error of a ratio of means."""
        rng = np.random.default_rng(0)
        x = rng.uniform(1, 2, 400)
        y = 0.5 * x + rng.normal(0, 0.2, 400)
        ratio, low, high = bootstrap_ratio(x, y)
        error = np.std(y - ratio * x) / np.sqrt(400) / x.mean()
        assert ratio == pytest.approx(y.mean() / x.mean())
        assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)

    @pytest.mark.parametrize(("x", "y"), [([], []), ([1, 2], [1]), ([0, 1], [1, 1]), ([1, np.nan], [1, 1])])
    def test_refuses_what_has_no_ratio(self, x, y):
        with pytest.raises(ValueError, match="expected"):
            bootstrap_ratio(x, y)

"""Temperature scaling of the autoregressive factorisation against closed forms and integration on a plane."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core.autoregressive import sample_temperature_scaled
from psr_core.mixtures import GaussianMixture


def mixture(weights, means, covariances):
    return GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in (weights, means, covariances)))


def drawn(source, tau, n=20_000, seed=0):
    return sample_temperature_scaled(source, tau, n, torch.Generator().manual_seed(seed))


ISOTROPIC = [[0.05, 0.0], [0.0, 0.05]]
# The first two share their x coordinate.
SEPARATED = mixture([0.4, 0.5, 0.1], [[-1.0, 2.0], [-1.0, -2.0], [2.0, 0.0]], [ISOTROPIC] * 3)


class TestOneGaussian:
    @settings(max_examples=20)
    @given(st.floats(-0.9, 0.9), st.floats(0.1, 3), st.sampled_from([0.1, 0.25, 1.0, 4.0, 10.0]))
    def test_becomes_itself_with_its_covariance_divided_by_tau(self, correlation, std, tau):
        """For one Gaussian p(x)^τ p(y|x)^τ is p(x, y)^τ, whatever its correlation."""
        covariance = torch.tensor([[std**2, correlation * std], [correlation * std, 1.0]], dtype=torch.float64)
        x = drawn(mixture([1.0], [[1.0, -2.0]], [covariance.tolist()]), tau)
        torch.testing.assert_close(x.mT.cov() * tau, covariance, rtol=0.05, atol=0.05 * std)
        offset = (x.mean(0) - torch.tensor([1.0, -2.0])).abs() / x.std(0)
        assert offset.max() < 5 / math.sqrt(len(x))


class TestMixture:
    def test_tau_one_is_the_mixture_itself(self):
        x = drawn(SEPARATED, 1.0)
        mode = SEPARATED.responsibilities(x).argmax(1)
        torch.testing.assert_close(torch.bincount(mode) / len(x), torch.tensor([0.4, 0.5, 0.1]), rtol=0, atol=0.012)
        assert all(float(x[mode == i].var(0).mean()) == pytest.approx(0.05, rel=0.08) for i in range(3))

    @pytest.mark.parametrize("tau", [0.25, 3.0, 10.0])
    def test_weights_shift_as_the_marginals_say(self, tau):
        """Well separated modes of one shape: (w_1 + w_2)^τ against w_3^τ for x, then w_1^τ against w_2^τ for y."""
        x = drawn(SEPARATED, tau)
        first, second, third = 0.4**tau, 0.5**tau, 0.1**tau
        alone = third / (0.9**tau + third)
        expected = [(1 - alone) * first / (first + second), (1 - alone) * second / (first + second), alone]
        shares = torch.bincount(SEPARATED.sharpened(tau).responsibilities(x).argmax(1), minlength=3) / len(x)
        torch.testing.assert_close(shares, torch.tensor(expected), rtol=0, atol=0.015)

    @pytest.mark.parametrize("tau", [0.25, 4.0])
    def test_overlapping_modes_agree_with_integration(self, tau):
        source = mixture([0.3, 0.7], [[0.0, 0.0], [0.8, 0.6]], [[[0.3, 0.1], [0.1, 0.2]], [[0.1, -0.05], [-0.05, 0.4]]])
        axis = torch.linspace(-6, 7, 521, dtype=torch.float64)
        x, y = torch.meshgrid(axis, axis, indexing="ij")
        joint = source.log_density(torch.stack([x, y], -1).reshape(-1, 2)).reshape(x.shape)
        marginal = joint.logsumexp(1)
        given_x = (tau * (joint - marginal[:, None])).softmax(1)
        density = (tau * marginal).softmax(0)[:, None] * given_x
        points = drawn(source, tau, n=50_000)
        for values, plane in ((points[:, 0], x), (points[:, 1], y), (points.prod(1), x * y)):
            mean = float((density * plane).sum())
            spread = float((density * (plane - mean) ** 2).sum()) ** 0.5
            assert float(values.mean()) == pytest.approx(mean, abs=5 * spread / math.sqrt(len(points)))
            assert float(values.std()) == pytest.approx(spread, rel=0.03)

    def test_far_apart_modes_of_very_different_width_are_both_found(self):
        source = mixture([0.5, 0.5], [[0.0, 0.0], [10.0, 10.0]], [[[1e-4, 0.0], [0.0, 1e-4]], [[1.0, 0.0], [0.0, 1.0]]])
        x = drawn(source, 1.0, n=2_000)
        near = x.norm(dim=1) < 1
        assert float(near.double().mean()) == pytest.approx(0.5, abs=0.05)
        assert float(x[near].std()) == pytest.approx(0.01, rel=0.06)


class TestDrawing:
    def test_repeats_with_the_generator(self):
        assert torch.equal(drawn(SEPARATED, 2.0, 100), drawn(SEPARATED, 2.0, 100))
        assert not torch.equal(drawn(SEPARATED, 2.0, 100), drawn(SEPARATED, 2.0, 100, seed=1))

    @pytest.mark.parametrize("tau", [0.0, -1.0, math.inf, math.nan])
    def test_refuses_a_temperature_that_is_no_positive_number(self, tau):
        with pytest.raises(ValueError, match="tau is .*expected a finite number > 0"):
            drawn(SEPARATED, tau)

    def test_refuses_other_dimensions(self):
        with pytest.raises(ValueError, match="mixture has 1 dimensions, expected 2"):
            drawn(mixture([1.0], [[0.0]], [[[1.0]]]), 1.0)

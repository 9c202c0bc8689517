"""The dial: validation, the factor's limits, and closed forms against what they must equal."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.steering import Steering, rescale_factor, steer_epsilon, steer_sample, steer_v

dials = st.builds(Steering, k=st.floats(0.05, 20), sigma=st.floats(0.01, 10))
alpha_bars = st.floats(1e-6, 1 - 1e-6)


class TestSteeringValue:
    def test_defaults_are_the_stock_sampler(self):
        assert Steering() == Steering(k=1.0, sigma=1.0, method="psr", integrator="plain", cap=False)
        assert Steering().is_identity
        assert Steering(k=3.0, method="none").is_identity
        assert not Steering(k=3.0).is_identity

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Steering().k = 2.0

    @pytest.mark.parametrize("field", ["k", "sigma"])
    @pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "2", None, True])
    def test_refuses_what_is_no_positive_number(self, field, value):
        with pytest.raises(ValueError, match=rf"steering\.{field} is .*expected a"):
            Steering(**{field: value})

    @pytest.mark.parametrize("field, value", [("method", "ddim"), ("integrator", "euler"), ("cap", 1), ("cap", "yes")])
    def test_refuses_unknown_names(self, field, value):
        with pytest.raises(ValueError, match=rf"steering\.{field} is .*expected one of"):
            Steering(**{field: value})

    @pytest.mark.parametrize("field, value", [("method", "nns"), ("integrator", "gaussian2"), ("cap", True)])
    def test_refuses_by_name_what_is_not_offered_yet(self, field, value):
        with pytest.raises(ValueError, match=rf"steering\.{field} = .*not available in this version; choose from"):
            Steering(**{field: value})

    @given(dials)
    def test_survives_a_round_trip_through_a_dict(self, steering):
        assert Steering.from_dict(steering.to_dict()) == steering

    def test_from_dict_names_an_unknown_field(self):
        with pytest.raises(ValueError, match="no field temperature"):
            Steering.from_dict({"k": 2, "temperature": 1})

    def test_label_tells_settings_apart(self):
        assert Steering(k=2, sigma=0.1).label() == "psr k=2 σ=0.1"
        assert Steering(method="none").label() == "none"


class TestRescaleFactor:
    @given(st.floats(0, 1e12), st.floats(0.05, 20), st.floats(0.01, 10))
    def test_lies_between_one_and_k(self, snr, k, sigma):
        low, high = min(1, k), max(1, k)
        assert low * (1 - 1e-12) <= rescale_factor(snr, k, sigma) <= high * (1 + 1e-12)

    @given(st.floats(1e-9, 1e9), st.floats(0.05, 20), st.floats(0.01, 10))
    def test_is_the_papers_formula(self, snr, k, sigma):
        expected = (snr * sigma**2 + 1) / (snr * sigma**2 / k + 1)
        assert rescale_factor(snr, k, sigma) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("k", [0.25, 1.0, 10.0])
    def test_ends_are_exact(self, k):
        assert rescale_factor(0.0, k, 0.5) == 1.0
        assert rescale_factor(float("inf"), k, 0.5) == pytest.approx(k, rel=1e-15)

    @given(st.floats(0, 1e12), st.floats(0.01, 10))
    def test_k_one_is_exactly_one(self, snr, sigma):
        assert rescale_factor(snr, 1.0, sigma) == 1.0

    def test_numpy_and_torch_agree(self):
        snr = np.logspace(-6, 6, 25)
        from_torch = rescale_factor(torch.from_numpy(snr), 7.0, 0.5)
        assert isinstance(from_torch, torch.Tensor)
        np.testing.assert_allclose(from_torch.numpy(), rescale_factor(snr, 7.0, 0.5), rtol=1e-14)

    def test_refuses_a_bad_dial(self):
        with pytest.raises(ValueError, match=r"steering\.k is -1"):
            rescale_factor(1.0, -1, 1.0)


def _state(alpha_bar, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator)
    alpha_bar = torch.tensor(alpha_bar, dtype=torch.float64)
    alpha, sigma_t = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return alpha_bar, alpha, sigma_t, x0, eps, alpha * x0 + sigma_t * eps


class TestClosedForms:
    @given(dials, alpha_bars)
    def test_epsilon_is_multiplied_by_the_factor(self, steering, value):
        alpha_bar, _, _, _, eps, _ = _state(value)
        factor = rescale_factor(float(alpha_bar / (1 - alpha_bar)), steering.k, steering.sigma)
        torch.testing.assert_close(steer_epsilon(eps, alpha_bar, steering), factor * eps, rtol=1e-9, atol=0)

    @given(dials, alpha_bars)
    def test_v_and_sample_equal_going_through_epsilon(self, steering, value):
        alpha_bar, alpha, sigma_t, x0, eps, x = _state(value)
        steered_eps = steer_epsilon(eps, alpha_bar, steering)
        steered_x0 = (x - sigma_t * steered_eps) / alpha
        via_sample = steer_sample(x0, x, alpha_bar, steering)
        via_v = steer_v(alpha * eps - sigma_t * x0, x, alpha_bar, steering)
        scale = float(steered_x0.abs().max())
        torch.testing.assert_close(via_sample, steered_x0, rtol=1e-8, atol=1e-9 * scale)
        torch.testing.assert_close(alpha * x - sigma_t * via_v, steered_x0, rtol=1e-8, atol=1e-9 * scale)

    @given(dials, alpha_bars, st.floats(0.1, 3))
    def test_gaussian_data_becomes_gaussian_of_variance_over_k(self, steering, value, x):
        """Equation 1.6's origin: exact when the data is N(mu, sigma^2)."""
        alpha_bar, alpha, sigma_t = (t.item() for t in _state(value)[:3])
        displacement = x - alpha * 0.7
        eps = sigma_t * displacement / (alpha**2 * steering.sigma**2 + sigma_t**2)
        expected = sigma_t * displacement / (alpha**2 * steering.sigma**2 / steering.k + sigma_t**2)
        steered = steer_epsilon(torch.tensor(eps, dtype=torch.float64), torch.tensor(alpha_bar), steering)
        assert steered.item() == pytest.approx(expected, rel=1e-5)

    @given(dials)
    def test_zero_terminal_snr_is_finite_and_unchanged(self, steering):
        zero = torch.tensor(0.0)
        v, x = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
        assert torch.equal(steer_v(v, x, zero, steering), v)
        assert torch.equal(steer_sample(v, x, zero, steering), v)
        assert torch.equal(steer_epsilon(v, zero, steering), v)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    def test_keeps_the_dtype_and_computes_in_float32(self, dtype):
        eps = torch.linspace(-2, 2, 9, dtype=dtype)
        alpha_bar = torch.tensor(0.9)
        steered = steer_epsilon(eps, alpha_bar, Steering(k=3, sigma=0.5))
        assert steered.dtype == dtype
        assert torch.equal(steered, steer_epsilon(eps.float(), alpha_bar, Steering(k=3, sigma=0.5)).to(dtype))

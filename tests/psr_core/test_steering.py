"""The dial: validation, and the factor against what it must be."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.steering import Level, Steering, kept_by_ancestral, kept_by_ode, noise_factor, rescale_factor

ks = st.floats(0.01, 100)
sigmas = st.floats(0.01, 10)
angles = st.floats(0, math.pi / 2)  # of (alpha, sigma_t) = (cos, sin): from clean to pure noise


class TestSteeringValue:
    def test_defaults_are_the_stock_sampler(self):
        assert Steering() == Steering(k=1.0, sigma=1.0, method="psr", integrator="plain", cap=False)
        assert Steering().is_identity

    @pytest.mark.parametrize("method", ["psr", "nns", "nes"])
    def test_k_one_is_the_stock_sampler_by_every_method(self, method):
        assert Steering(method=method).is_identity
        assert not Steering(method=method, k=1.1).is_identity

    def test_an_integrator_is_not_the_stock_sampler_even_at_k_one(self):
        assert not Steering(integrator="gaussian").is_identity
        assert Steering(k=3.0, method="none").is_identity

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Steering().k = 2.0

    @pytest.mark.parametrize("field", ["k", "sigma"])
    @pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 1e-9, 1e9, "2", None, True])
    def test_refuses_what_is_no_positive_number_of_use(self, field, value):
        with pytest.raises(ValueError, match=rf"steering\.{field} is .*expected a"):
            Steering(**{field: value})

    @pytest.mark.parametrize("field, value", [("method", "ddim"), ("integrator", "euler"), ("cap", 1), ("cap", "yes")])
    def test_refuses_unknown_names(self, field, value):
        with pytest.raises(ValueError, match=rf"steering\.{field} is .*expected one of"):
            Steering(**{field: value})

    @pytest.mark.parametrize(
        "fields", [{"method": "nes", "integrator": "gaussian"}, {"cap": True, "integrator": "gaussian2"}]
    )
    def test_refuses_integrators_without_psr_or_with_the_cap(self, fields):
        with pytest.raises(ValueError, match=r"steering\.integrator = 'gaussian.* goes with method 'psr'"):
            Steering(**fields)

    @pytest.mark.parametrize("method", ["nns", "nes", "none"])
    def test_refuses_the_cap_without_psr(self, method):
        with pytest.raises(ValueError, match=r"steering\.cap limits PSR's factor"):
            Steering(method=method, cap=True)

    @given(st.builds(Steering, k=ks, sigma=sigmas))
    def test_survives_a_round_trip_through_a_dict(self, steering):
        assert Steering.from_dict(steering.to_dict()) == steering

    def test_from_dict_names_an_unknown_field(self):
        with pytest.raises(ValueError, match="no field temperature"):
            Steering.from_dict({"k": 2, "temperature": 1})

    def test_label_tells_settings_apart(self):
        assert Steering(k=2, sigma=0.1).label() == "psr k=2 σ=0.1"
        assert Steering(k=2, sigma=0.1, integrator="gaussian2").label() == "psr k=2 σ=0.1 gaussian2"
        assert Steering(k=7, sigma=0.5, cap=True).label() == "psr k=7 σ=0.5 cap"
        assert Steering(k=2, method="nns").label() == "nns k=2"
        assert Steering(method="none").label() == "none"


class TestRescaleFactor:
    @given(angles, ks, sigmas)
    def test_lies_between_one_and_k(self, angle, k, sigma):
        low, high = min(1, k), max(1, k)
        factor = rescale_factor(math.cos(angle), math.sin(angle), k, sigma)
        assert low * (1 - 1e-12) <= factor <= high * (1 + 1e-12)

    @given(st.floats(0.001, 1.5), ks, sigmas)
    def test_is_the_papers_formula(self, angle, k, sigma):
        alpha, sigma_t = math.cos(angle), math.sin(angle)
        snr = (alpha / sigma_t) ** 2
        expected = (snr * sigma**2 + 1) / (snr * sigma**2 / k + 1)
        assert rescale_factor(alpha, sigma_t, k, sigma) == pytest.approx(expected, rel=1e-9)

    @given(angles, angles, ks, sigmas)
    def test_is_monotone_in_the_signal_to_noise_ratio(self, one, other, k, sigma):
        cleaner, noisier = sorted((one, other))
        low, high = (rescale_factor(math.cos(a), math.sin(a), k, sigma) for a in (noisier, cleaner))
        assert (high - low) * (k - 1) >= -1e-9

    @given(angles, ks, ks, sigmas)
    def test_is_monotone_in_k(self, angle, one, other, sigma):
        flatter, sharper = (rescale_factor(math.cos(angle), math.sin(angle), k, sigma) for k in sorted((one, other)))
        assert flatter <= sharper * (1 + 1e-12)

    @given(st.floats(0.1, 10), st.floats(0.01, 10), ks, sigmas, angles)
    def test_depends_on_the_ratio_of_the_levels_alone(self, scale, _, k, sigma, angle):
        alpha, sigma_t = math.cos(angle), math.sin(angle)
        scaled = rescale_factor(scale * alpha, scale * sigma_t, k, sigma)
        assert scaled == pytest.approx(rescale_factor(alpha, sigma_t, k, sigma), rel=1e-9)

    @given(ks, sigmas)
    def test_tends_to_one_in_noise_and_to_k_in_the_clean(self, k, sigma):
        assert rescale_factor(0.0, 1.0, k, sigma) == 1.0
        assert rescale_factor(1e-9, 1.0, k, sigma) == pytest.approx(1, abs=1e-9)
        assert rescale_factor(1.0, 1e-9, k, sigma) == pytest.approx(k, rel=1e-9)
        assert rescale_factor(1.0, 0.0, k, sigma) == pytest.approx(k, rel=1e-12)

    @given(angles, sigmas)
    def test_k_one_is_exactly_one(self, angle, sigma):
        assert rescale_factor(math.cos(angle), math.sin(angle), 1.0, sigma) == 1.0

    def test_numpy_and_torch_agree_with_floats(self):
        angle = np.linspace(0, np.pi / 2, 25)
        alpha, sigma_t = np.cos(angle), np.sin(angle)
        from_numpy = rescale_factor(alpha, sigma_t, 7.0, 0.5)
        from_torch = rescale_factor(torch.from_numpy(alpha), torch.from_numpy(sigma_t), 7.0, 0.5)
        from_floats = [rescale_factor(float(a), float(s), 7.0, 0.5) for a, s in zip(alpha, sigma_t, strict=True)]
        assert isinstance(from_torch, torch.Tensor)
        np.testing.assert_allclose(from_torch.numpy(), from_numpy, rtol=1e-14)
        np.testing.assert_allclose(from_floats, from_numpy, rtol=1e-14)

    def test_refuses_a_bad_dial(self):
        with pytest.raises(ValueError, match=r"steering\.k is -1"):
            rescale_factor(1.0, 1.0, -1, 1.0)


class TestNoiseFactor:
    @given(angles, ks, sigmas)
    def test_psr_is_the_rescale_factor(self, angle, k, sigma):
        level = Level(math.cos(angle), math.sin(angle))
        assert noise_factor(level, Steering(k=k, sigma=sigma)) == rescale_factor(*level, k, sigma)

    @given(angles, ks)
    def test_baselines_have_constant_factors(self, angle, k):
        level = Level(math.cos(angle), math.sin(angle))
        assert noise_factor(level, Steering(k=k, method="nes")) == k
        assert noise_factor(level, Steering(k=k, method="nns")) == 1.0
        assert noise_factor(level, Steering(k=k, method="none")) == 1.0

    @given(st.floats(0.02, 1.5), st.floats(0, 0.99), ks, sigmas)
    def test_with_the_cap_an_ode_step_ends_before_the_predicted_clean_sample(self, angle, share, k, sigma):
        """In x / alpha, a step removes factor · (q - q') ε of the gap q ε, with q = sigma_t / alpha."""
        level = Level(math.cos(angle), math.sin(angle))
        next_level = Level(math.cos(angle * share), math.sin(angle * share))
        capped = noise_factor(level, Steering(k=k, sigma=sigma, cap=True), kept_by_ode(level, next_level))
        q, next_q = (at.sigma_t / at.alpha for at in (level, next_level))
        assert capped * (q - next_q) <= q * (1 + 1e-9)
        assert capped <= noise_factor(level, Steering(k=k, sigma=sigma))

    def test_the_cap_leaves_flattening_and_unknown_steps_alone(self):
        level = Level(0.9, 0.4)
        for steering in (Steering(k=0.2, cap=True), Steering(k=9, cap=True)):
            assert noise_factor(level, steering) == noise_factor(level, dataclasses.replace(steering, cap=False))
        assert noise_factor(level, Steering(k=0.2, cap=True), kept=0.0) == noise_factor(level, Steering(k=0.2))

    @pytest.mark.parametrize("sigma_t, next_sigma_t", [(1.0, 0.9), (0.5, 0.1), (0.01, 0.0)])
    def test_variance_exploding_caps_are_those_of_rotations(self, sigma_t, next_sigma_t):
        """c = sigma_t' without noise (eta 0) and sigma_t'^2 / sigma_t with it (eta 1); r <= sigma_t / (sigma_t - c)."""
        level, next_level = Level(1.0, sigma_t), Level(1.0, next_sigma_t)
        for kept, c in ((kept_by_ode, next_sigma_t), (kept_by_ancestral, next_sigma_t**2 / sigma_t)):
            factor = noise_factor(level, Steering(k=1e6, sigma=1e3, cap=True), kept(level, next_level))
            assert factor == pytest.approx(sigma_t / (sigma_t - c), rel=1e-9)

    def test_rotations_without_the_cap_follow_the_known_figures(self):
        """k = 7, σ = .5 on SO(3), alpha = 1: the factor at five noise levels."""
        levels = {1.0: 1.21, 0.5: 1.75, 0.25: 3.18, 0.1: 5.69, 0.01: 6.98}
        for sigma_t, expected in levels.items():
            assert noise_factor(Level(1.0, sigma_t), Steering(k=7, sigma=0.5)) == pytest.approx(expected, abs=0.005)

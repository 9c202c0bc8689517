"""Steered predictions of every type say the same thing, stay finite, and keep their dtype."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from psr_core.predictions import KINDS, clean_and_noise, steer_prediction
from psr_core.steering import Level, Steering, noise_factor

factors = st.floats(0.01, 100)


@st.composite
def levels(draw, low=0.01, high=1.55):
    """Noise levels in every scale: variance preserving, variance exploding, flow matching."""
    angle = draw(st.floats(low, high))
    alpha, sigma_t = math.cos(angle), math.sin(angle)
    scale = draw(st.sampled_from([1.0, 1 / alpha, 1 / (alpha + sigma_t)]))
    return Level(alpha * scale, sigma_t * scale)


def _state(level, seed=0):
    clean, eps = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return clean, eps, level.alpha * clean + level.sigma_t * eps


def _say(kind, clean, eps, level):
    """A prediction of a kind from x0 and ε."""
    alpha, sigma_t = level
    v = (alpha * eps - sigma_t * clean) / math.hypot(alpha, sigma_t)
    return {"epsilon": eps, "sample": clean, "v_prediction": v, "flow_prediction": eps - clean}[kind]


def _kinds_of(level):
    """The flow is defined where alpha + sigma_t = 1, the others everywhere."""
    flow = abs(level.alpha + level.sigma_t - 1) < 1e-12
    return [kind for kind in KINDS if flow or kind != "flow_prediction"]


class TestConversions:
    @given(levels())
    def test_every_kind_says_the_clean_sample_and_the_noise(self, level):
        clean, eps, x = _state(level)
        for kind in _kinds_of(level):
            said_clean, said_eps = clean_and_noise(kind, _say(kind, clean, eps, level), x, level)
            torch.testing.assert_close(said_clean, clean, rtol=1e-8, atol=1e-8)
            torch.testing.assert_close(said_eps, eps, rtol=1e-8, atol=1e-8)

    @given(levels(), factors)
    def test_steering_commutes_with_conversion_both_ways(self, level, factor):
        """To ε, times the factor, and back is what steer_prediction does in one go, for every kind."""
        clean, eps, x = _state(level)
        steered_clean = (x - level.sigma_t * factor * eps) / level.alpha
        size = float(steered_clean.abs().max()) + factor
        for kind in _kinds_of(level):
            steered = steer_prediction(kind, _say(kind, clean, eps, level), x, level, factor)
            expected = _say(kind, steered_clean, factor * eps, level)
            torch.testing.assert_close(steered, expected, rtol=1e-8, atol=1e-8 * size)

    @given(levels(), factors, factors)
    def test_steering_twice_multiplies_the_factors(self, level, one, other):
        clean, eps, x = _state(level)
        for kind in _kinds_of(level):
            said = _say(kind, clean, eps, level)
            twice = steer_prediction(kind, steer_prediction(kind, said, x, level, one), x, level, other)
            once = steer_prediction(kind, said, x, level, one * other)
            torch.testing.assert_close(twice, once, rtol=1e-6, atol=1e-6 * (1 + float(once.abs().max())))

    @pytest.mark.parametrize(
        "call", [steer_prediction, lambda kind, p, x, level, _: clean_and_noise(kind, p, x, level)]
    )
    def test_refuses_an_unknown_kind_by_name(self, call):
        with pytest.raises(ValueError, match="prediction_type is 'score', expected one of: epsilon, v_prediction"):
            call("score", torch.zeros(2), torch.zeros(2), Level(0.6, 0.8), 2.0)


class TestZeroTerminalSnr:
    @pytest.mark.parametrize("kind", KINDS)
    @given(k=st.floats(0.01, 100), sigma=st.floats(0.01, 100))
    def test_psr_leaves_pure_noise_exactly_alone(self, kind, k, sigma):
        level = Level(0.0, 1.0)
        said, x = torch.randn(2, 5, generator=torch.Generator().manual_seed(1))
        factor = noise_factor(level, Steering(k=k, sigma=sigma))
        assert torch.equal(steer_prediction(kind, said, x, level, factor), said)

    @pytest.mark.parametrize("kind", ["v_prediction", "sample", "flow_prediction"])
    def test_a_constant_factor_is_refused_there_with_the_cure(self, kind):
        with pytest.raises(ValueError, match="zero signal-to-noise .* use steering.method psr"):
            steer_prediction(kind, torch.ones(2), torch.ones(2), Level(0.0, 1.0), 1.1)


class TestNumbers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32_and_cast_back(self, kind, dtype):
        said, x = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
        level = Level(math.sqrt(0.9), math.sqrt(0.1))
        steered = steer_prediction(kind, said, x, level, 2.3)
        assert steered.dtype == dtype
        assert torch.equal(steered, steer_prediction(kind, said.float(), x.float(), level, 2.3).to(dtype))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    @given(
        st.data(),
        levels(0, math.pi / 2),
        st.floats(1e-6, 1e6),
        st.floats(1e-6, 1e6),
        hnp.arrays("f4", (2, 3), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    )
    def test_finite_numbers_stay_finite(self, dtype, data, level, k, sigma, numbers):
        """At any level, the ends included, and any dial: half precision saturates instead of overflowing."""
        kind = data.draw(st.sampled_from(_kinds_of(level)))
        largest = min(torch.finfo(dtype).max, 2.0**60)
        said, x = torch.from_numpy(numbers).clamp(-largest, largest).to(dtype)
        steered = steer_prediction(kind, said, x, level, noise_factor(level, Steering(k=k, sigma=sigma)))
        assert steered.isfinite().all()

    def test_inputs_are_not_changed(self):
        said, x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
        before = said.clone(), x.clone()
        steer_prediction("sample", said, x, Level(0.6, 0.8), 3.0)
        assert torch.equal(said, before[0])
        assert torch.equal(x, before[1])

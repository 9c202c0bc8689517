"""Warnings about steps and steering: known figures, and cures that are named."""

from __future__ import annotations

import re

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core.schedulers import steer
from psr_core.steering import Steering
from psr_perception.depth.settings import DepthSettings
from psr_perception.depth.step_warnings import overshoot, steering_warnings
from tests.tiny_pipelines import SCHEDULE

STOCK = Steering()
SHARP = Steering(k=1.3, sigma=10)  # the setting for depth that has been published
LEADING = DDIMScheduler(**SCHEDULE, prediction_type="v_prediction")
TRAILING = DDIMScheduler.from_config(LEADING.config, timestep_spacing="trailing")
ZERO_SNR = DDIMScheduler.from_config(TRAILING.config, rescale_betas_zero_snr=True)
LCM = LCMScheduler.from_config(LEADING.config)


class TestOvershoot:
    """Figures for k = 1.3 and σ = 10 from the algebra of DDIM, worked out apart from this code."""

    @pytest.mark.parametrize(
        ("scheduler", "steps", "expected"),
        [
            (LEADING, 50, 0.012),
            (LEADING, 1, 0.012),
            (TRAILING, 50, 0.040),
            (TRAILING, 20, 0.067),
            (TRAILING, 10, 0.102),
            (TRAILING, 4, 0.207),
            (TRAILING, 1, 1.16),
            (ZERO_SNR, 50, 0.042),
            (ZERO_SNR, 20, 0.069),
            (ZERO_SNR, 10, 0.106),
            (ZERO_SNR, 4, 0.217),
            (ZERO_SNR, 1, 0.0),
        ],
    )
    def test_has_the_known_figures(self, scheduler, steps, expected):
        assert overshoot(scheduler, steps, SHARP) == pytest.approx(expected, abs=0.0006 if expected < 1 else 0.006)

    @given(k=st.floats(0.2, 5), sigma=st.floats(0.05, 20), steps=st.integers(1, 30))
    @settings(max_examples=25)
    def test_is_at_least_what_the_last_step_does_to_the_clean_sample(self, k, sigma, steps):
        """Asked of the steered scheduler itself: with unit noise, how far its clean sample moves."""
        steered = steer(TRAILING, Steering(k=k, sigma=sigma))
        steered.set_timesteps(steps)
        last = steered.timesteps[-1]
        alpha, sigma_t = (value.sqrt() for value in (TRAILING.alphas_cumprod[last], 1 - TRAILING.alphas_cumprod[last]))
        sample, v = sigma_t.double().reshape(1, 1), alpha.double().reshape(1, 1)  # x_0 = 0, noise 1
        moved = abs(float(steered.step(v, last, sample).pred_original_sample))
        found = overshoot(TRAILING, steps, steered.steering)
        assert found >= moved - 1e-6
        if k <= 1:  # then no step goes too far, and the last one falls short
            assert found == pytest.approx(moved, abs=1e-5)

    @pytest.mark.parametrize("scheduler", [LEADING, TRAILING, ZERO_SNR, LCM])
    def test_is_nothing_at_k_one_and_with_the_cap_and_leaves_the_scheduler_alone(self, scheduler):
        before = scheduler.timesteps.clone()
        assert overshoot(scheduler, 5, STOCK) == 0
        if scheduler is not LCM:
            to_clean = DDIMScheduler.from_config(scheduler.config, set_alpha_to_one=True)  # whither the cap allows
            assert overshoot(to_clean, 5, Steering(k=3, sigma=10, cap=True)) == pytest.approx(0, abs=1e-6)
        assert torch.equal(scheduler.timesteps, before)


class TestWarnings:
    @pytest.mark.parametrize(
        ("scheduler", "steps", "dial", "complaint"),
        [
            (TRAILING, 4, SHARP, r"= 4 with steering psr k=1.3 σ=10: a step is off by 0.21 .* = 20 or more"),
            (TRAILING, 10, SHARP, "off by 0.10 .* = 20 or more"),
            (LEADING, 4, SHARP, "off by 0.15 .* = 10 or more"),
            (TRAILING, 10, Steering(k=20, sigma=10), "use k nearer to 1, or turn the cap on"),
            (TRAILING, 10, Steering(k=0.5, sigma=10), "off by 0.17 .* = 50 or more"),
            (ZERO_SNR, 1, SHARP, "= 1 with steering .* does nothing.* 1.000 at most; use 10 or more"),
            (TRAILING, 20, Steering(k=1.3, sigma=0.001), "does nothing.*larger σ, or k further from 1"),
            (LCM, 4, SHARP, "LCMScheduler goes to the predicted depth at every step.*DDIMScheduler, or k = 1"),
            (LEADING, 1, STOCK, "= 1: the first timestep is 1, whose noise is too little.*trailing"),
            (LEADING, 2, STOCK, "the first timestep is 501"),
        ],
    )
    def test_name_the_value_and_the_cure(self, scheduler, steps, dial, complaint):
        (warning,) = steering_warnings(DepthSettings(steps), dial, scheduler)
        assert re.search(complaint, warning)

    @pytest.mark.parametrize(
        ("scheduler", "steps", "dial"),
        [
            (LEADING, 10, SHARP),
            (TRAILING, 20, SHARP),
            (ZERO_SNR, 20, SHARP),
            (TRAILING, 50, Steering(k=0.5, sigma=10)),
            (TRAILING, 4, Steering(k=1.3, sigma=10, cap=True)),
            (TRAILING, 4, Steering(k=1.3, sigma=0.5, integrator="gaussian")),
            (TRAILING, 1, STOCK),
            (LCM, 1, STOCK),
        ],
    )
    def test_are_none_where_all_is_well(self, scheduler, steps, dial):
        assert steering_warnings(DepthSettings(steps), dial, scheduler) == []

    def test_take_a_steered_scheduler(self):
        assert steering_warnings(DepthSettings(10), SHARP, steer(LEADING, STOCK)) == []

    @pytest.mark.parametrize(("scheduler", "most"), [(LEADING, 999), (TRAILING, 1000), (LCM, 50)])
    def test_refuse_more_steps_than_there_are(self, scheduler, most):
        steering_warnings(DepthSettings(most), SHARP, scheduler)
        with pytest.raises(ValueError, match=f"num_inference_steps is {most + 1}, expected at most {most}"):
            steering_warnings(DepthSettings(most + 1), SHARP, scheduler)

"""Whole trajectories of the pure samplers: exact where mathematics says so, and equal to diffusers' own."""

import math
from functools import partial

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from psr_core.samplers import cosine_levels, sample_ancestral, sample_ode
from psr_core.scheduler_levels import family_of
from psr_core.schedulers import steer
from psr_core.steering import Steering
from tests.psr_core.gaussian_data import MEAN, SPREAD, ideal_prediction, make, noise, trajectory

denoise = partial(ideal_prediction, "epsilon")
X = noise(20_000, 1, dtype=torch.float64)


def _ratio(samples):
    return float(samples.var()) / SPREAD**2


class TestLevels:
    def test_run_from_almost_pure_noise_to_clean_in_equal_angles(self):
        levels = cosine_levels(7)
        angles = [math.atan2(level.sigma_t, level.alpha) for level in levels]
        gaps = [a - b for a, b in zip(angles, angles[1:], strict=False)]
        assert len(levels) == 8
        assert levels[-1] == (1.0, 0.0)
        assert 0 < levels[0].alpha < 0.01
        assert gaps == pytest.approx([gaps[0]] * 7)

    def test_refuse_no_step(self):
        with pytest.raises(ValueError, match="steps is 0, expected at least 1"):
            cosine_levels(0)


class TestOde:
    @pytest.mark.parametrize("k", [0.25, 1.0, 10.0])
    @pytest.mark.parametrize("integrator", ["gaussian", "gaussian2"])
    @pytest.mark.parametrize("steps", [1, 2, 5, 20])
    def test_gaussian_data_is_sampled_exactly_at_any_number_of_steps(self, k, integrator, steps):
        """Sample by sample: x0 = μ + σ/√k z for the z that the trajectory began with, to 1e-5."""
        levels, dial = cosine_levels(steps), Steering(k=k, sigma=SPREAD, integrator=integrator)
        first = levels[0]
        z = noise(50, 1, dtype=torch.float64)
        begin = first.alpha * MEAN + math.sqrt(first.alpha**2 * SPREAD**2 / k + first.sigma_t**2) * z
        expected = MEAN + SPREAD / math.sqrt(k) * z
        torch.testing.assert_close(sample_ode(denoise, begin, levels, dial), expected, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("k", [0.25, 4.0])
    def test_plain_steps_come_to_the_steered_variance_as_they_grow_many(self, k):
        coarse, fine = (
            abs(_ratio(sample_ode(denoise, X, cosine_levels(n), Steering(k=k, sigma=SPREAD))) * k - 1)
            for n in (20, 400)
        )
        assert fine < 0.05
        assert fine < coarse / 5

    def test_the_cap_keeps_a_coarse_sharp_trajectory_from_collapsing(self):
        raw, capped = (
            _ratio(sample_ode(denoise, X, cosine_levels(10), Steering(k=10, sigma=SPREAD, cap=cap)))
            for cap in (False, True)
        )
        assert raw < 0.05 < capped < 1

    def test_scaling_the_noise_by_a_constant_changes_the_variance_too(self):
        sharper = sample_ode(denoise, X, cosine_levels(100), Steering(k=1.05, method="nes"))
        assert _ratio(sharper) < 0.9 * _ratio(sample_ode(denoise, X, cosine_levels(100), Steering(method="none")))

    def test_refuses_to_scale_noise_that_is_not_there(self):
        with pytest.raises(ValueError, match="nns scales injected noise.*sample_ancestral"):
            sample_ode(denoise, X, cosine_levels(2), Steering(k=2, method="nns"))


class TestAncestral:
    @pytest.mark.parametrize("k", [0.25, 4.0])
    def test_psr_comes_to_the_steered_variance(self, k):
        generator = torch.Generator().manual_seed(0)
        samples = sample_ancestral(denoise, X, cosine_levels(400), Steering(k=k, sigma=SPREAD), generator)
        assert float(samples.mean()) == pytest.approx(MEAN, abs=0.01)
        assert _ratio(samples) == pytest.approx(1 / k, rel=0.1)

    def test_without_injected_noise_it_is_narrower_than_the_data(self):
        generator = torch.Generator().manual_seed(0)
        samples = sample_ancestral(denoise, X, cosine_levels(100), Steering(k=10, method="nns"), generator)
        assert _ratio(samples) < 0.5

    def test_refuses_the_integrators_of_the_flow(self):
        with pytest.raises(ValueError, match="gaussian follows the ODE; use sample_ode"):
            sample_ancestral(denoise, X, cosine_levels(2), Steering(integrator="gaussian"), torch.Generator())


class TestAgainstDiffusers:
    """The same levels under a scheduler and under the pure samplers give the same samples."""

    @staticmethod
    def _levels(scheduler, steps):
        scheduler.set_timesteps(steps)
        family = family_of(scheduler)
        levels = [family.level(scheduler, t) for t in scheduler.timesteps]
        return [*levels, family.next_level(scheduler, scheduler.timesteps[-1])]

    @pytest.mark.parametrize("integrator", ["plain", "gaussian", "gaussian2"])
    def test_ddim(self, integrator):
        dial = Steering(k=3, sigma=0.4, integrator=integrator)
        stock = make(DDIMScheduler, set_alpha_to_one=True)
        pure = sample_ode(denoise, X[:50], self._levels(stock, 10), dial)
        torch.testing.assert_close(pure, trajectory(steer(stock, dial), 10, X[:50]), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "dial", [Steering(k=3, sigma=0.4), Steering(k=3, method="nns"), Steering(k=1.02, method="nes")]
    )
    def test_ddpm(self, dial):
        stock = make(DDPMScheduler)
        x = X[:50].float()
        pure = sample_ancestral(denoise, x, self._levels(stock, 10), dial, torch.Generator().manual_seed(0))
        torch.testing.assert_close(pure, trajectory(steer(stock, dial), 10, x), rtol=1e-3, atol=1e-4)

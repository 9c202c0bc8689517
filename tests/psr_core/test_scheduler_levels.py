"""Levels as the schedulers themselves use them, and refusals that say why and what to use."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from psr_core.scheduler_levels import FAMILIES, family_of, refusal
from psr_core.steering import Steering, kept_by_ancestral, kept_by_ode
from tests.psr_core.gaussian_data import make, noise

FORWARD = [c for c in FAMILIES if c is not FlowMatchEulerDiscreteScheduler]


class TestLevels:
    @pytest.mark.parametrize("cls", FORWARD)
    def test_are_those_of_the_schedulers_own_forward_process(self, cls):
        """add_noise(x0, ε, t) = alpha x0 + sigma_t ε."""
        scheduler = make(cls)
        scheduler.set_timesteps(10)
        timestep = scheduler.timesteps[3]
        scheduler._init_step_index(timestep) if hasattr(scheduler, "_init_step_index") else None
        level = family_of(scheduler).level(scheduler, timestep)
        x0, eps = noise(2, 1, 3)
        noised = scheduler.add_noise(x0, eps, timestep[None])
        torch.testing.assert_close(noised, level.alpha * x0 + level.sigma_t * eps, rtol=1e-5, atol=1e-5)

    def test_of_flow_matching_are_a_line(self):
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(10)
        level = family_of(scheduler).level(scheduler, scheduler.timesteps[0])
        x0, eps = noise(2, 1, 3)
        noised = scheduler.scale_noise(x0, scheduler.timesteps[:1], eps)
        torch.testing.assert_close(noised, level.alpha * x0 + level.sigma_t * eps)
        assert level.alpha + level.sigma_t == pytest.approx(1)

    @pytest.mark.parametrize("cls", [c for c in FAMILIES if c not in (LCMScheduler, HeunDiscreteScheduler)])
    def test_the_next_level_is_where_the_step_lands(self, cls):
        """A sample of one data point and a perfect prediction: what lands is alpha' x0 + sigma_t' ε (in its mean)."""
        scheduler = make(cls, kind="epsilon")
        scheduler.set_timesteps(10)
        family, x0, eps = family_of(scheduler), *noise(2, 4, 3)
        timestep = scheduler.timesteps[2]
        level, next_level = family.level(scheduler, timestep), family.next_level(scheduler, timestep)
        said = eps - x0 if cls is FlowMatchEulerDiscreteScheduler else eps
        x = level.alpha * x0 + level.sigma_t * eps
        kept = family.kept(level, next_level)
        samples = []
        for seed in range(400 if family.kept is kept_by_ancestral else 1):
            if hasattr(scheduler, "_step_index"):
                scheduler._step_index = None
            extra = {}
            if family.kept is kept_by_ancestral:
                extra["generator"] = torch.Generator().manual_seed(seed)
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(x, timestep)
            samples.append(scheduler.step(said, timestep, x, **extra).prev_sample)
        landed = torch.stack(samples).mean(0)
        share = next_level.alpha / level.alpha * kept  # of the noise in x that the step's mean keeps
        expected = next_level.alpha * x0 + share * level.sigma_t * eps
        tolerance = 1e-4 if len(samples) == 1 else 6 * next_level.sigma_t / len(samples) ** 0.5
        torch.testing.assert_close(landed, expected, rtol=1e-3, atol=tolerance)

    def test_flow_sigmas_of_the_multistep_solvers_are_a_line_too(self):
        for cls in (DPMSolverMultistepScheduler, UniPCMultistepScheduler):
            scheduler = make(cls, "flow_prediction", use_flow_sigmas=True)
            scheduler.set_timesteps(10)
            level = family_of(scheduler).level(scheduler, scheduler.timesteps[4])
            assert level.alpha + level.sigma_t == pytest.approx(1)

    def test_kept_shares_are_shares(self):
        scheduler = make(EulerDiscreteScheduler)
        scheduler.set_timesteps(10)
        family, timestep = family_of(scheduler), scheduler.timesteps[0]
        pair = family.level(scheduler, timestep), family.next_level(scheduler, timestep)
        assert 0 < kept_by_ancestral(*pair) < kept_by_ode(*pair) < 1


class TestRefusals:
    @pytest.mark.parametrize("cls", FAMILIES)
    def test_every_scheduler_takes_psr_nes_and_none(self, cls):
        for method in ("psr", "nes", "none"):
            assert refusal(make(cls), Steering(k=2, method=method)) is None

    def test_noise_scaling_is_for_ddpm_type_samplers(self):
        takes = {cls for cls in FAMILIES if refusal(make(cls), Steering(k=2, method="nns")) is None}
        assert takes == {DDPMScheduler, EulerAncestralDiscreteScheduler}

    def test_integrators_are_for_deterministic_samplers_of_one_call_a_step(self):
        takes = {cls for cls in FAMILIES if refusal(make(cls), Steering(k=2, integrator="gaussian2")) is None}
        stochastic = {DDPMScheduler, EulerAncestralDiscreteScheduler, LCMScheduler}
        assert takes == set(FAMILIES) - stochastic - {HeunDiscreteScheduler}

    def test_the_cap_is_for_steps_of_one_prediction(self):
        takes = {cls for cls in FAMILIES if refusal(make(cls), Steering(k=2, cap=True)) is None}
        several = {HeunDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler}
        assert takes == set(FAMILIES) - several - {LCMScheduler}

    @pytest.mark.parametrize(
        "scheduler, steering, reason, cure",
        [
            (DDIMScheduler(), Steering(method="nns"), "injects no noise", "use DDPMScheduler or EulerAncestral"),
            (LCMScheduler(), Steering(method="nns"), "carries the clean sample", "or method psr"),
            (
                DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"),
                Steering(method="nns"),
                "multistep solver for the SDE",
                "use DDPMScheduler",
            ),
            (
                DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"),
                Steering(integrator="gaussian"),
                "draws noise",
                "use DDIMScheduler",
            ),
            (DDPMScheduler(), Steering(integrator="gaussian"), "draws noise", "or integrator 'plain'"),
            (HeunDiscreteScheduler(), Steering(integrator="gaussian2"), "two predictions", "use DDIMScheduler"),
            (
                FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
                Steering(cap=True),
                "goes to the predicted clean sample",
                "leave the cap off",
            ),
        ],
    )
    def test_say_why_and_what_to_use(self, scheduler, steering, reason, cure):
        said = refusal(scheduler, steering)
        assert said is not None
        assert type(scheduler).__name__ in said
        assert reason in said
        assert cure in said

    @pytest.mark.parametrize("scheduler", [PNDMScheduler(), object()])
    def test_unknown_schedulers_are_named(self, scheduler):
        with pytest.raises(TypeError, match=f"cannot steer {type(scheduler).__name__}: .* use one of: DDIMScheduler, "):
            refusal(scheduler, Steering())

    def test_a_class_of_ones_own_is_known_by_its_parent(self):
        class Mine(DDIMScheduler):
            pass

        assert refusal(Mine(), Steering()) is None
        assert DPMSolverSDEScheduler not in FAMILIES

"""Distances to the steered flow, with policies whose flow is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from psr_core.integrators import steered_std
from psr_core.steering import Steering
from psr_eval.integrators import (
    REFERENCES,
    Group,
    Inputs,
    few_steps,
    fine_levels,
    first_timestep,
    groups,
    integrators,
    measure,
    network_calls,
    observe,
    reference,
    whole_reference,
)
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES
from psr_policy.policy import DiffusionPolicy, make_scheduler
from sim.tasks import TASKS

MEAN, SPREAD = 0.2, 0.1
STEERED = Steering(k=2.0, sigma=SPREAD)


def make_policy(**changes) -> DiffusionPolicy:
    """A policy of random weights that observes what Lift shows."""
    torch.manual_seed(0)
    options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)
    fields = {"obs_keys": TASKS["Lift"].obs_keys, "horizon": 8, "n_action_steps": 4, "num_train_timesteps": 20}
    policy = DiffusionPolicy(
        PolicyConfig("unet", action_dim=10, action_names=ARM_ACTION_NAMES, network_options=options, **fields | changes)
    ).eval()
    policy.normalizer.fit(torch.randn(50, policy.config.obs_dim), torch.rand(50, 10) * 0.2 + 0.8)
    return policy


class GaussianDenoiser(nn.Module):
    """The exact noise prediction for actions N(MEAN, SPREAD²), at fractional timesteps too."""

    def __init__(self, policy: DiffusionPolicy) -> None:
        super().__init__()
        timesteps, levels = fine_levels(policy, policy.config.num_train_timesteps - 1, 10)
        self.levels = {round(10 * t): level for t, level in zip(timesteps, levels, strict=True)}
        self.asked: list[float] = []

    def forward(self, sample: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        self.asked.append(float(timesteps[0]))
        alpha, sigma_t = self.levels[round(10 * float(timesteps[0]))]
        return sigma_t * (sample - alpha * MEAN) / (alpha**2 * SPREAD**2 + sigma_t**2)


@pytest.fixture
def gaussian_policy():
    policy = make_policy(num_train_timesteps=100, clip_sample=False)
    policy.model = GaussianDenoiser(policy)
    return policy


def inputs_for(policy, n=3, noises=2) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    return Inputs(torch.randn(n, 2, policy.config.obs_dim, generator=generator), seed=0, noises=noises)


class TestLevels:
    def test_whole_timesteps_have_the_trainings_levels(self):
        policy = make_policy(num_train_timesteps=100)
        timesteps, levels = fine_levels(policy, 99, 5)
        table = make_scheduler(policy.config, "ddim").alphas_cumprod
        assert len(timesteps) == 99 * 5 + 1
        for t, level in list(zip(timesteps, levels, strict=True))[::5]:
            assert t == int(t)
            assert level.alpha**2 == pytest.approx(float(table[int(t)]), rel=1e-5)
            assert math.hypot(*level) == pytest.approx(1)

    def test_between_them_log_snr_is_linear(self):
        _, levels = fine_levels(make_policy(), 10, 4)
        log_snr = [math.log(level.alpha / level.sigma_t) for level in levels]
        for i in range(0, 40, 4):
            steps = [b - a for a, b in zip(log_snr[i : i + 4], log_snr[i + 1 : i + 5], strict=True)]
            assert steps == pytest.approx([steps[0]] * 4, rel=1e-6)


class TestReference:
    @pytest.mark.parametrize("clip_sample", [True, False])
    @pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
    @pytest.mark.parametrize("steering", [Steering(), STEERED])
    def test_without_fractions_it_is_the_policys_own_sampler_at_every_training_timestep(
        self, clip_sample, kind, steering
    ):
        policy = make_policy(clip_sample=clip_sample, prediction_type=kind)
        inputs = inputs_for(policy)
        drawn = few_steps(policy, inputs, steering, policy.config.num_train_timesteps).sample
        # The first level is all but pure noise: to divide by its alpha, as epsilon does, multiplies rounding errors.
        tolerance = 1e-2 if kind == "epsilon" and clip_sample else 1e-4
        torch.testing.assert_close(whole_reference(policy, inputs, steering), drawn, rtol=1e-5, atol=tolerance)

    def test_from_a_later_level_it_takes_the_steps_that_are_left(self, gaussian_policy):
        calls = []
        reference(gaussian_policy, inputs_for(gaussian_policy), STEERED, 75, 1, lambda: calls.append(0))
        assert gaussian_policy.model.asked == list(range(75, -1, -1))
        assert len(calls) == 76

    def test_finer_steps_come_closer_to_the_known_flow(self, gaussian_policy):
        inputs = inputs_for(gaussian_policy)
        _, levels = fine_levels(gaussian_policy, 99, 1)
        noise = torch.stack([torch.randn((8, 10), generator=g) for g in inputs.generators()])
        first, last = (steered_std(level, STEERED) for level in (levels[0], levels[-1]))
        exact = levels[-1].alpha * MEAN + last / first * (noise - levels[0].alpha * MEAN)
        errors = [
            (reference(gaussian_policy, inputs, STEERED, 99, n).before - exact).abs().max().item() for n in (1, 5)
        ]
        assert errors[1] < 0.3 * errors[0]

    def test_leaves_the_same_noise_for_the_next(self):
        policy = make_policy()
        inputs = inputs_for(policy)
        assert torch.equal(whole_reference(policy, inputs, STEERED), whole_reference(policy, inputs, STEERED))


class TestMeasure:
    def test_the_integrators_are_closest_where_the_data_are_what_they_assume(self, gaussian_policy):
        inputs = inputs_for(gaussian_policy)
        group = Group(STEERED, integrators(STEERED), (4,))
        unsteered = whole_reference(gaussian_policy, inputs, Steering())
        found = measure(gaussian_policy, inputs, group, unsteered, refinement=5)
        plain, gaussian, gaussian2, _ = (cell["before_end"]["mean"] for cell in found["cells"])
        assert max(gaussian, gaussian2) < 0.2 * plain
        assert all(cell[name]["n"] == 6 for cell in found["cells"] for name in REFERENCES)
        assert found["effect"]["mean"] > 0.02
        assert found["fine_to_whole"]["mean"] > 0

    def test_at_every_training_timestep_plain_steps_are_the_reference(self):
        policy = make_policy()
        inputs, group = inputs_for(policy), Group(Steering(), (Steering(),), (20,))
        found = measure(policy, inputs, group, whole_reference(policy, inputs, Steering()), refinement=1)
        assert found["cells"][0]["whole"]["mean"] < 1e-3
        assert found["fine_to_whole"]["mean"] == found["effect"]["mean"] == 0

    def test_counts_the_references_calls(self):
        policy, calls = make_policy(), []
        inputs, group = inputs_for(policy, noises=1), Group(STEERED, (STEERED,), (2, 4))
        measure(policy, inputs, group, torch.zeros(3, 8, 10), 2, lambda: calls.append(0))
        assert len(calls) == network_calls(policy, group, 2)

    def test_fewer_calls_begin_at_a_later_level(self):
        policy = make_policy(num_train_timesteps=100)
        assert [first_timestep(policy, calls) for calls in (4, 8, 16, 100)] == [75, 84, 90, 99]


def test_groups_have_every_integrator_and_the_stock_sampler_once():
    found = groups([1.0, 2.0], [0.1, 0.3], [4])
    assert [group.reference for group in found] == [Steering(), Steering(2.0, 0.1), Steering(2.0, 0.3)]
    stock = found[0].steerings
    assert [s for s in stock if s.is_identity] == [Steering()]
    assert {(s.sigma, s.integrator) for s in stock[1:]} == {
        (sigma, name) for sigma in (0.1, 0.3) for name in ("gaussian", "gaussian2")
    }
    assert found[1].steerings == integrators(Steering(2.0, 0.1))


def test_observations_are_those_before_an_episodes_chunks():
    policy = make_policy()
    obs = observe(policy, "Lift", 3)
    assert obs.shape == (3, 2, policy.config.obs_dim)
    first, second, third = obs
    assert torch.equal(first[0], first[1])  # an episode's first observation, repeated
    assert not torch.equal(second[0], second[1])
    assert not torch.equal(second, third)

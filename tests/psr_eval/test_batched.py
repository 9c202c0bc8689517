"""Batched rollouts: an outcome depends on plan and seed alone, whoever shared its batch."""

from __future__ import annotations

import pytest
import torch

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_eval.batched import run_batched
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.policy import DiffusionPolicy
from tests.psr_eval.counter import NOWHERE, CountingPlan

PLAN = CountingPlan("Counting", NOWHERE, Steering(k=2.0), num_inference_steps=2)
SEEDS = range(9)


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    config = PolicyConfig(
        network="unet",
        obs_keys=(("count", 1),),
        action_dim=2,
        action_names=("x", "y"),
        horizon=8,
        n_action_steps=4,
        network_options=UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3),
    )
    policy = DiffusionPolicy(config).eval()
    policy.normalizer.fit(torch.arange(20.0)[:, None], torch.rand(50, 2) * 100)
    return policy


def _run(policy, workers, batch, seeds=SEEDS, plan=PLAN):
    return sorted(run_batched(plan, policy, list(seeds), workers, batch), key=lambda outcome: outcome.seed)


@pytest.fixture(scope="module")
def outcomes(policy):
    return _run(policy, workers=1, batch=3)


def _bits(outcomes):
    return [(o.seed, o.steps, o.max_reward) for o in outcomes]


def test_every_seed_is_played_to_its_end(outcomes):
    assert [(o.seed, o.steps) for o in outcomes] == [(seed, seed % 5 + 3) for seed in SEEDS]
    assert [len(o.latencies) for o in outcomes] == [-(-o.steps // 4) for o in outcomes]


def test_workers_do_not_change_a_bit(policy, outcomes):
    assert _bits(_run(policy, workers=2, batch=3)) == _bits(outcomes)


def test_company_does_not_change_a_bit(policy, outcomes):
    assert _bits(_run(policy, workers=1, batch=3, seeds=[4])) == _bits(outcomes[4:5])


def test_rows_are_those_the_policy_samples_for_the_address(policy, outcomes):
    """Seed 0, three steps: the reward tells the rows of its only chunk."""
    history = torch.zeros(3, policy.config.n_obs_steps, 1)
    generators = [noise_generator(0, 0, 0) for _ in range(3)]
    rows = policy.sample(history, steering=PLAN.steering, sampler="ddim", num_inference_steps=2, generators=generators)[
        0, policy.config.n_obs_steps - 1 :
    ]
    expected = max([0.5, *(0.25 + float(row.abs().sum()) / 1000 for row in rows[1:3])])
    assert outcomes[0].max_reward == pytest.approx(expected, rel=1e-6)


def test_a_dead_worker_is_said(policy):
    plan = CountingPlan("Counting", NOWHERE, num_inference_steps=2, fatal=2)
    with pytest.raises(RuntimeError, match="worker process ended unexpectedly"):
        _run(policy, workers=1, batch=2, plan=plan)


def test_whoever_leaves_early_leaves_no_process_behind(policy):
    import multiprocessing

    iterator = run_batched(PLAN, policy, list(SEEDS), 1, 2)
    next(iterator)
    iterator.close()
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]

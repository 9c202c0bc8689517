"""Batched rollouts: an outcome depends on plan and seed alone, whoever shared its batch."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest
import torch

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_eval.batched import Crew, run_batched
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.policy import DiffusionPolicy
from tests.psr_eval.counter import NOWHERE, CountingPlan

PLAN = CountingPlan("Counting", NOWHERE, Steering(k=2.0), num_inference_steps=2)
OTHER = replace(PLAN, steering=Steering(k=0.5), num_inference_steps=3)
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
    policy.normalizer.fit(torch.arange(20.0)[:, None], torch.rand(50, 2) * 1000)
    return policy


def _run(crew, policy, batch=3, seeds=SEEDS, plan=PLAN):
    return sorted(run_batched(plan, policy, list(seeds), crew, batch), key=lambda outcome: outcome.seed)


def _processes():
    return {child.pid for child in multiprocessing.active_children()}


@pytest.fixture(scope="module")
def crew():
    """A worker that all tests share, which is what it is for."""
    with Crew(1) as crew:
        yield crew


@pytest.fixture(scope="module")
def outcomes(policy, crew):
    return _run(crew, policy)


def _bits(outcomes):
    return [(o.seed, o.steps, o.max_reward) for o in outcomes]


def test_every_seed_is_played_to_its_end(outcomes):
    assert [(o.seed, o.steps) for o in outcomes] == [(seed, seed % 5 + 3) for seed in SEEDS]
    assert [len(o.latencies) for o in outcomes] == [-(-o.steps // 4) for o in outcomes]


def test_rewards_tell_one_chunk_from_another(outcomes):
    """Without which equal rewards would say nothing."""
    assert len({outcome.max_reward for outcome in outcomes}) == len(outcomes)


def test_company_does_not_change_a_bit(policy, crew, outcomes):
    assert _bits(_run(crew, policy, seeds=[4])) == _bits(outcomes[4:5])


def test_plans_before_do_not_change_a_bit(policy, crew, outcomes):
    others = _bits(_run(crew, policy, plan=OTHER))
    assert not set(others) & set(_bits(outcomes))
    before = _processes()
    assert _bits(_run(crew, policy)) == _bits(outcomes)
    assert _bits(_run(crew, policy, plan=OTHER)) == others
    assert _processes() == before


def test_workers_do_not_change_a_bit(policy, outcomes):
    before = _processes()
    with Crew(2) as crew:
        alone = _run(crew, policy, seeds=[0])
        assert len(_processes() - before) == 1, "nobody is started without work"
        assert _bits(_run(crew, policy)) == _bits(outcomes)
        assert len(_processes() - before) == 2
    assert _bits(alone) == _bits(outcomes[:1])
    assert _processes() == before


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
    with Crew(1) as crew, pytest.raises(RuntimeError, match="worker process ended unexpectedly"):
        _run(crew, policy, plan=plan)


def test_a_worker_that_died_between_two_plans_is_said(policy):
    before = _processes()
    with Crew(1) as crew:
        _run(crew, policy, seeds=[0])
        for child in multiprocessing.active_children():
            if child.pid not in before:
                child.kill()
                child.join()
        with pytest.raises(RuntimeError, match="worker process ended unexpectedly"):
            _run(crew, policy)


def test_episodes_that_were_left_leave_no_process_and_nothing_for_the_next_plan(policy, outcomes):
    before = _processes()
    with Crew(1) as crew:
        iterator = run_batched(OTHER, policy, list(SEEDS), crew, 3)
        next(iterator)
        iterator.close()
        assert _processes() == before
        assert _bits(_run(crew, policy, seeds=SEEDS[:4])) == _bits(outcomes[:4])


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"steering": Steering(), "sampler": "ddpm", "num_inference_steps": 5, "noise_seed": 1}, False),
        ({"checkpoint": NOWHERE / "else"}, False),
        ({"task": "Other"}, True),
        ({"max_steps": 2}, True),
        ({"n_action_steps": 2}, True),
    ],
    ids=["sampling", "checkpoint", "task", "step limit", "config"],
)
def test_others_are_called_for_another_kind_of_episode_only(policy, monkeypatch, changes, others):
    dismissed = []
    monkeypatch.setattr(Crew, "dismiss", lambda self: dismissed.append(self))
    crew = Crew(1)
    crew.prepare(PLAN, policy.config)
    config = {name: changes.pop(name) for name in list(changes) if name == "n_action_steps"}
    crew.prepare(replace(PLAN, **changes), replace(policy.config, **config))
    assert bool(dismissed) is others

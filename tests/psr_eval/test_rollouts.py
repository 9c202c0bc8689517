"""Rollouts without ROS: decided by plan and seed alone, whatever ran before and however many workers share them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from psr_cli.main import main
from psr_core.steering import Steering
from psr_eval.bench import bench_policy, machine
from psr_eval.rollouts import RolloutPlan, Rollouts, progress_line, run_episodes
from psr_policy.checkpoint import load_policy, read_description, save_policy
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES
from psr_policy.policy import DiffusionPolicy
from sim.tasks import TASKS

STEPS = 10


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A policy of random weights that observes what Lift shows."""
    torch.manual_seed(0)
    options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)
    policy = DiffusionPolicy(
        PolicyConfig(
            network="unet",
            obs_keys=TASKS["Lift"].obs_keys,
            action_dim=10,
            action_names=ARM_ACTION_NAMES,
            network_options=options,
        )
    ).eval()
    policy.normalizer.fit(torch.randn(50, policy.config.obs_dim), torch.rand(50, 10) * 0.2 + 0.8)
    folder = tmp_path_factory.mktemp("policies") / "random"
    save_policy(folder, policy, {"command": "none: random weights"})
    return folder


def _plan(checkpoint, **changes):
    return RolloutPlan("Lift", checkpoint, num_inference_steps=2, max_steps=STEPS, **changes)


class TestRollouts:
    def test_an_episode_depends_on_nothing_that_ran_before(self, checkpoint):
        rollouts = Rollouts(_plan(checkpoint))
        first = rollouts.run(7, keep_chunks=True)
        rollouts.run(8)
        again = rollouts.run(7, keep_chunks=True)
        assert len(first.chunks) == 2  # steps 0 to 7 and 8 to 9
        assert first.steps == STEPS
        for one, other in zip(first.chunks, again.chunks, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_steering_and_noise_seed_reach_the_sampler(self, checkpoint):
        plain, steered, other_noise = (
            Rollouts(_plan(checkpoint, **changes)).run(7, keep_chunks=True).chunks[0]
            for changes in ({}, {"steering": Steering(k=4.0)}, {"noise_seed": 1})
        )
        assert not np.array_equal(plain, steered)
        assert not np.array_equal(plain, other_noise)

    def test_an_impossible_action_fails_the_episode_and_says_why(self, checkpoint, monkeypatch):
        rollouts = Rollouts(_plan(checkpoint))
        sample = rollouts.chunker.sample_from

        def without_rotation(*address):
            chunk = sample(*address)
            chunk.rows[3, 3:9] = 0.0
            return chunk

        monkeypatch.setattr(rollouts.chunker, "sample_from", without_rotation)
        outcome = rollouts.run(7)
        assert (outcome.success, outcome.steps) == (False, 3)
        assert outcome.reason.startswith("step 3: first row of rot6d")

    def test_workers_share_the_seeds_and_change_nothing(self, checkpoint):
        def outcomes(workers):
            found = run_episodes(_plan(checkpoint), range(3), workers)
            return sorted((o.seed, o.success, o.steps, o.max_reward) for o in found)

        assert outcomes(2) == outcomes(1)

    def test_a_batched_episode_is_the_single_one_but_for_last_bits(self, checkpoint):
        single, batched = (next(run_episodes(_plan(checkpoint), [7], batch=batch)) for batch in (1, 2))
        assert (batched.seed, batched.success, batched.steps) == (single.seed, single.success, single.steps)
        assert batched.max_reward == pytest.approx(single.max_reward, abs=1e-3)
        assert len(batched.latencies) == len(single.latencies) == 2

    def test_no_batch_is_refused(self, checkpoint):
        with pytest.raises(ValueError, match="batch is 0, expected 1 or more"):
            next(run_episodes(_plan(checkpoint), range(1), 1, 0))

    def test_no_workers_are_refused(self, checkpoint):
        with pytest.raises(ValueError, match="workers is 0, expected 1 or more"):
            next(run_episodes(_plan(checkpoint), range(1), 0))

    def test_a_plan_that_cannot_be_followed_is_refused_before_anything_runs(self, checkpoint, monkeypatch):
        monkeypatch.setattr("psr_eval.rollouts.Rollouts", None)
        for changes, told in (({"steering": Steering(method="nns")}, "cannot take"), ({"sampler": "euler"}, "sampler")):
            with pytest.raises(ValueError, match=told):
                next(run_episodes(_plan(checkpoint, **changes), range(1), 2))
        with pytest.raises(
            ValueError, match="but task PushT shows .*'keypoint': 18.*choose the task it was trained on"
        ):
            next(run_episodes(RolloutPlan("PushT", checkpoint), range(1)))

    def test_progress_says_how_far_it_is(self):
        assert progress_line(3, 10, 2, 0.0).startswith("3/10 episodes, 2 successes, ")


class TestEvalCommand:
    def test_prints_the_rate_and_writes_every_episode(self, checkpoint, tmp_path, capsys):
        out = tmp_path / "deep" / "eval.json"
        words = (
            f"eval --checkpoint {checkpoint} --episodes 2 --max-steps {STEPS} --steps 2 --k 1.5 --batch 1 --workers 1"
        )
        words = f"{words} --out {out}".split()
        assert main(words) == 0
        assert "psr k=1.5 σ=1" in capsys.readouterr().out
        report = json.loads(out.read_text())
        assert report["steering"]["k"] == 1.5
        assert [episode["seed"] for episode in report["episodes"]] == [100_000, 100_001]
        assert report["successes"] == sum(episode["success"] for episode in report["episodes"])

    def test_takes_every_field_of_the_steering(self, checkpoint, tmp_path, capsys):
        out = tmp_path / "eval.json"
        words = f"eval --checkpoint {checkpoint} --episodes 1 --max-steps 3 --steps 2 --k 2 --sigma .1 --out {out}"
        words += " --batch 1 --workers 1"
        assert main([*words.split(), "--integrator", "gaussian2"]) == 0
        assert json.loads(out.read_text())["steering"] == Steering(2.0, 0.1, "psr", "gaussian2").to_dict()

    def test_goes_on_where_it_was_interrupted(self, checkpoint, tmp_path, capsys, monkeypatch):
        out = tmp_path / "eval.json"
        words = f"eval --checkpoint {checkpoint} --max-steps 3 --steps 1 --batch 1 --workers 1 --out {out}".split()
        assert main([*words, "--episodes", "1"]) == 0
        played = []
        run = Rollouts.run
        monkeypatch.setattr(Rollouts, "run", lambda self, seed: played.append(seed) or run(self, seed))
        assert main([*words, "--episodes", "2"]) == 0
        assert played == [100_001]
        assert [episode["seed"] for episode in json.loads(out.read_text())["episodes"]] == [100_000, 100_001]
        assert main([*words, "--episodes", "2", "--k", "2"]) == 2
        assert "holds episodes with steering" in capsys.readouterr().err

    def test_refuses_in_one_line_what_the_sampler_cannot_do(self, checkpoint, capsys):
        assert main(f"eval --checkpoint {checkpoint} --method nns".split()) == 2
        streams = capsys.readouterr()
        assert (streams.out, streams.err.count("\n")) == ("", 1)
        assert "DDIMScheduler cannot take steering.method 'nns'" in streams.err

    def test_writes_the_rate_into_the_card(self, checkpoint):
        words = f"eval --checkpoint {checkpoint} --episodes 1 --max-steps 3 --steps 1 --batch 1 --workers 1 --card"
        assert main(words.split()) == 0
        load_policy(checkpoint)  # still whole
        evaluation = read_description(checkpoint)["card"]["evaluation"]
        assert (evaluation["n"], evaluation["first_seed"]) == (1, 100_000)

    def test_no_episodes_are_refused(self, checkpoint, capsys):
        assert main(f"eval --checkpoint {checkpoint} --episodes 0".split()) == 2
        assert "--episodes is 0, expected 1 or more" in capsys.readouterr().err


class TestPolicyBench:
    def test_times_every_setting_as_often(self, checkpoint):
        settings = [Steering(method="none"), Steering(k=1.5)]
        timings, duration = bench_policy(checkpoint, settings, num_inference_steps=2, repeats=4)
        assert [timing.label for timing in timings] == ["none", "psr k=1.5 σ=1"]
        assert all(timing.n == 4 and 0 < timing.p50 <= timing.p95 for timing in timings)
        assert duration == pytest.approx(400)  # 8 steps of 0.05 s

    def test_names_the_machine(self):
        assert "torch" in machine()

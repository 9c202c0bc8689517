"""ChunkSampler: history, noise addressed by (seed, episode, step), and what it refuses to look at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.chunker import ChunkSampler


def features(step: int) -> dict[str, np.ndarray]:
    return {"object": np.array([step, 1.0, 2.0]), "robot0_eef_pos": np.array([3.0, -step])}


@pytest.fixture
def sampler(tiny_policy):
    sampler = ChunkSampler(tiny_policy())
    sampler.num_inference_steps = 4
    sampler.reset(7)
    return sampler


def rows_after(sampler, *steps: int, at: int = 0) -> np.ndarray:
    for step in steps:
        sampler.observe(features(step))
    return sampler.sample(at).rows


class TestChunk:
    def test_is_what_the_policy_samples_from_now_on(self, sampler):
        sampler.steering = Steering(k=3, sigma=0.2)
        chunk_rows = rows_after(sampler, 0, 1, at=1)
        obs = torch.tensor([[[0.0, 1, 2, 3, 0], [1, 1, 2, 3, -1]]])
        expected = sampler.policy.sample(
            obs,
            steering=Steering(k=3, sigma=0.2),
            sampler="ddim",
            num_inference_steps=4,
            generators=[noise_generator(0, 7, 1)],
        )
        # Two observations, the newest is "now": the action beside the older one is past.
        np.testing.assert_array_equal(chunk_rows, expected[0, 1:])
        assert chunk_rows.shape == (7, 10)
        assert chunk_rows.dtype == np.float32

    def test_says_how_it_was_drawn(self, sampler):
        sampler.steering, sampler.sampler, sampler.num_inference_steps = Steering(k=2), "ddpm", 3
        sampler.observe(features(0))
        chunk = sampler.sample(5)
        assert (chunk.step, chunk.n_action_steps) == (5, 4)
        assert (chunk.steering, chunk.sampler, chunk.num_inference_steps) == (Steering(k=2), "ddpm", 3)
        assert 0 < chunk.latency < 60
        with pytest.raises(dataclasses.FrozenInstanceError):
            chunk.step = 6

    def test_settings_are_those_at_the_time_of_the_call(self, sampler):
        sampler.observe(features(0))
        plain = sampler.sample(0)
        sampler.steering = Steering(k=5, sigma=1)
        assert not np.array_equal(sampler.sample(0).rows, plain.rows)
        sampler.steering = Steering()
        np.testing.assert_array_equal(sampler.sample(0).rows, plain.rows)


class TestNoise:
    def test_follows_from_episode_and_step_alone(self, sampler, tiny_policy):
        rows = rows_after(sampler, 0, 1, at=8)
        other = ChunkSampler(tiny_policy())
        other.num_inference_steps = 4
        other.reset(1)
        rows_after(other, 5, 6, at=3)
        other.reset(7)
        np.testing.assert_array_equal(rows_after(other, 0, 1, at=8), rows)

    def test_differs_between_steps_episodes_and_seeds(self, sampler, tiny_policy):
        usual = rows_after(sampler, 0)
        assert not np.array_equal(sampler.sample(1).rows, usual)
        sampler.reset(8)
        assert not np.array_equal(rows_after(sampler, 0), usual)
        seeded = ChunkSampler(tiny_policy(), noise_seed=1)
        seeded.num_inference_steps = 4
        seeded.reset(7)
        assert not np.array_equal(rows_after(seeded, 0), usual)


class TestHistory:
    def test_begins_with_the_first_observation_repeated(self, sampler):
        once = rows_after(sampler, 4)
        sampler.reset(7)
        np.testing.assert_array_equal(rows_after(sampler, 4, 4), once)

    def test_holds_the_newest_observations(self, sampler):
        long = rows_after(sampler, 0, 1, 2, 3)
        sampler.reset(7)
        np.testing.assert_array_equal(rows_after(sampler, 2, 3), long)

    def test_is_forgotten_at_reset(self, sampler):
        rows_after(sampler, 9)
        sampler.reset(7)
        once = rows_after(sampler, 0)
        sampler.reset(7)
        np.testing.assert_array_equal(rows_after(sampler, 0), once)

    def test_does_not_follow_an_array_that_is_changed_later(self, sampler):
        seen = features(0)
        sampler.observe(seen)
        rows = sampler.sample(0).rows
        seen["object"][:] = 100
        np.testing.assert_array_equal(sampler.sample(0).rows, rows)


class TestRefuses:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"object": None}, r"missing \['object'\], unknown \[\]"),
            ({"gripper": np.zeros(1)}, r"missing \[\], unknown \['gripper'\]"),
            ({"object": np.zeros(4)}, r"feature object has shape \(4,\), expected \(3,\)"),
            ({"object": np.zeros((1, 3))}, r"feature object has shape \(1, 3\)"),
            ({"object": np.array([0, np.nan, 0])}, "feature object is .*nan.*, expected finite"),
            ({"robot0_eef_pos": np.array([1e300, 0])}, "feature robot0_eef_pos is .*inf.*, expected finite"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:overflow")
    def test_an_observation_that_does_not_fit_and_keeps_its_history(self, sampler, change, told):
        before = rows_after(sampler, 0, 1)
        wrong = {name: value for name, value in {**features(2), **change}.items() if value is not None}
        with pytest.raises(ValueError, match=told):
            sampler.observe(wrong)
        np.testing.assert_array_equal(sampler.sample(0).rows, before)

    def test_sampling_before_an_observation(self, sampler, tiny_policy):
        with pytest.raises(ValueError, match="no observation yet"):
            sampler.sample(0)
        with pytest.raises(ValueError, match=r"call reset\(episode_seed\)"):
            ChunkSampler(tiny_policy()).sample(0)

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [("sampler", "heun", "sampler is 'heun'"), ("num_inference_steps", 21, "num_inference_steps is 21")],
    )
    def test_settings_the_policy_cannot_follow(self, sampler, name, value, told):
        sampler.observe(features(0))
        setattr(sampler, name, value)
        with pytest.raises(ValueError, match=told):
            sampler.sample(0)

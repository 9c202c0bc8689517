"""PolicyRunner: when chunks come, that they are the sampler's own, and when they are held back."""

from __future__ import annotations

from types import SimpleNamespace as Message

import numpy as np
import pytest

from psr_core.steering import Steering
from psr_policy.chunker import ChunkSampler
from psr_policy.contract import load_contract
from psr_policy.gate import ActionLimits
from psr_policy.runner import PolicyRunner
from psr_policy.ticks import Tick

CONTRACT = """
features:
  object: [{topic: /a, type: demo_msgs/msg/A, field: numbers, slice: "0:3"}]
  robot0_eef_pos: [{topic: /a, field: numbers, slice: "3:5"}]
"""
N = 4  # n_action_steps of the tiny policy


def numbers(step, episode=1):
    return np.sin(np.arange(5) + 0.3 * step + 7.0 * episode)


def sampler(policy):
    made = ChunkSampler(policy, noise_seed=3)
    made.num_inference_steps = 2
    return made


def direct(policy, steps, seed, first=0, episode=1, steering=None):
    """The rows that the bare sampler gives at the last of some consecutive steps."""
    bare = sampler(policy)
    bare.steering = steering or Steering()
    bare.reset(seed)
    for step in range(first, steps + 1):
        row = numbers(step, episode)
        bare.observe({"object": row[:3], "robot0_eef_pos": row[3:]})
    return bare.sample(steps).rows


@pytest.fixture(scope="module")
def policy(tiny_policy):
    return tiny_policy()


@pytest.fixture
def make_runner(tmp_path, policy):
    def make(frozen_steps=0, margin=0.1, **own):
        path = tmp_path / "contract.yaml"
        path.write_text(CONTRACT)
        limits = ActionLimits(policy.config.action_names, policy.action_low, policy.action_high, margin, **own)
        return PolicyRunner(load_contract(path), sampler(policy), limits, frozen_steps)

    return make


@pytest.fixture
def runner(make_runner):
    return make_runner()


def go(runner, step, *, episode=1, seed=70, await_chunk=False, values=None, age=0.0):
    values = numbers(step, episode) if values is None else values
    tick = Tick(stamp=1000 * episode + step, episode=episode, seed=seed, step=step, await_chunk=await_chunk)
    return runner.step(tick, {"/a": Message(numbers=values)}, age)


class TestWhen:
    def test_a_chunk_comes_at_every_nth_step(self, runner):
        came = [step for step in range(3 * N) if go(runner, step) is not None]
        assert came == [0, N, 2 * N]

    def test_a_chunk_comes_whenever_one_is_awaited(self, runner):
        came = [step for step in range(2 * N) if go(runner, step, await_chunk=step in (0, 3)) is not None]
        assert came == [0, 3, N]

    def test_joining_an_episode_in_the_middle(self, runner):
        assert go(runner, 5) is not None

    def test_one_that_is_due_but_too_old_is_skipped(self, runner, policy):
        period = policy.config.step_period
        assert go(runner, 0, age=0.9 * N * period) is not None
        assert [go(runner, step, age=N * period) for step in range(1, 2 * N)] == [None] * (2 * N - 1)
        assert runner.statistics.skipped == 1
        assert go(runner, 2 * N) is not None

    def test_one_that_is_awaited_is_never_too_old(self, runner):
        assert go(runner, 0, age=100.0, await_chunk=True) is not None


class TestWhat:
    def test_chunks_are_the_bare_samplers_bit_for_bit(self, runner, policy):
        for step in range(2 * N + 1):
            chunk = go(runner, step)
            if chunk is not None:
                np.testing.assert_array_equal(chunk.rows, direct(policy, step, seed=70))

    def test_a_new_episode_begins_a_new_history(self, runner, policy):
        for step in range(3):
            go(runner, step)
        chunk = go(runner, 0, episode=2, seed=71)
        np.testing.assert_array_equal(chunk.rows, direct(policy, 0, seed=71, episode=2))

    def test_an_episode_that_starts_over_too(self, runner, policy):
        for step in range(3):
            go(runner, step)
        np.testing.assert_array_equal(go(runner, 0).rows, direct(policy, 0, seed=70))

    def test_joining_in_the_middle_repeats_the_first_observation(self, runner, policy):
        np.testing.assert_array_equal(go(runner, 5).rows, direct(policy, 5, seed=70, first=5))

    def test_a_gap_begins_a_new_history(self, runner, policy):
        go(runner, 0)
        np.testing.assert_array_equal(go(runner, 2 * N).rows, direct(policy, 2 * N, seed=70, first=2 * N))

    def test_the_dial_turns_from_the_next_chunk_on(self, runner, policy):
        go(runner, 0)
        runner.sampler.steering = Steering(k=3.0)
        for step in range(1, N):
            go(runner, step)
        chunk = go(runner, N)
        assert chunk.steering == Steering(k=3.0)
        np.testing.assert_array_equal(chunk.rows, direct(policy, N, seed=70, steering=Steering(k=3.0)))

    def test_warming_up_leaves_no_trace(self, runner, policy):
        runner.warm_up()
        np.testing.assert_array_equal(go(runner, 0).rows, direct(policy, 0, seed=70))


class TestRepeatedTicks:
    def test_are_no_new_observations(self, runner, policy):
        for step in range(N):
            go(runner, step)
            assert go(runner, step) is None
        np.testing.assert_array_equal(go(runner, N).rows, direct(policy, N, seed=70))

    def test_that_are_awaited_get_the_same_chunk(self, runner):
        chunk = go(runner, 0, await_chunk=True)
        assert go(runner, 0, await_chunk=True) is chunk

    def test_that_were_refused_are_tried_again(self, make_runner):
        runner = make_runner(own_high={"x": -1e6}, own_low={"x": -2e6})
        assert go(runner, 0, await_chunk=True) is None
        runner.limits = make_runner().limits
        assert go(runner, 0, await_chunk=True) is not None
        assert runner.problem == ""


class TestHolding:
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_number_that_is_not_finite(self, runner, bad):
        values = numbers(0)
        values[4] = bad
        assert go(runner, 0, await_chunk=True, values=values) is None
        assert "step 0: feature robot0_eef_pos is" in runner.problem
        assert runner.statistics.held == 1

    def test_goes_on_with_a_new_history_afterwards(self, runner, policy):
        go(runner, 0)
        go(runner, 1, values=np.full(5, np.nan))
        chunk = go(runner, 2, await_chunk=True)
        assert runner.problem == ""
        assert "feature object" in runner.last_error
        np.testing.assert_array_equal(chunk.rows, direct(policy, 2, seed=70, first=2))

    def test_a_feature_of_another_size(self, runner):
        assert go(runner, 0, values=np.zeros(4)) is None
        assert "feature robot0_eef_pos has shape (1,), expected (2,)" in runner.problem

    def test_frozen_observations(self, make_runner):
        runner = make_runner(frozen_steps=3)
        came = [go(runner, step, await_chunk=True, values=numbers(0)) is not None for step in range(4)]
        assert came == [True, True, False, False]
        assert "have not changed by a bit for 4 steps" in runner.problem
        assert go(runner, 3, await_chunk=True, values=numbers(0)) is None
        assert go(runner, 4, await_chunk=True) is not None
        assert runner.problem == ""

    def test_a_new_episode_may_begin_where_the_last_one_ended(self, make_runner):
        runner = make_runner(frozen_steps=3)
        for episode in (1, 2):
            for step in (0, 1):
                assert go(runner, step, episode=episode, await_chunk=True, values=numbers(0)) is not None

    def test_until_told_otherwise(self, runner):
        go(runner, 0)
        runner.hold("no message on /a yet")
        assert runner.problem == "no message on /a yet"
        assert go(runner, 1) is not None
        assert runner.problem == ""


class TestRefusing:
    def test_rows_outside_the_limits(self, make_runner):
        runner = make_runner(own_high={"z": -1e6}, own_low={"z": -2e6})
        assert go(runner, 0) is None
        assert "chunk for step 0 is not published: row 0, column z is" in runner.problem
        assert "expected a number in [-2e+06, -1e+06]" in runner.problem
        assert runner.statistics.refused == 1

    def test_rows_that_are_not_finite(self, runner):
        runner.sampler.sample = lambda step: Message(rows=np.full((5, 10), np.nan, "f4"))
        assert go(runner, 0) is None
        assert "is nan" in runner.problem

    def test_settings_the_policy_cannot_follow(self, runner):
        runner.sampler.num_inference_steps = 99
        assert go(runner, 0) is None
        assert "num_inference_steps is 99, expected an integer from 1 to 20" in runner.problem
        runner.sampler.num_inference_steps = 2
        assert go(runner, 1, await_chunk=True) is not None

    def test_a_device_that_gives_up(self, runner):
        def fail(step):
            raise RuntimeError("CUDA out of memory")

        runner.sampler.sample = fail
        assert go(runner, 0) is None
        assert "CUDA out of memory" in runner.problem

"""An episode, chunk by chunk, in an environment that is a counter."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from psr_eval.player import EpisodePlayer
from tests.psr_eval.counter import Counter

CONFIG = SimpleNamespace(obs_keys=(("count", 1),), n_obs_steps=2, n_action_steps=3)


def _rows(*values):
    return np.array(values, dtype=np.float32)[:, None]


@pytest.fixture
def player():
    player = EpisodePlayer(Counter(), CONFIG, max_steps=7)
    player.begin(10)
    return player


def test_a_chunk_is_played_as_far_as_it_is_meant(player):
    player.play(_rows(1, 2, 3, 4, 5))
    assert player.env.rows == [1, 2, 3]
    assert player.step == 3
    np.testing.assert_array_equal(player.history, [[12], [13]])


def test_the_first_observation_is_repeated(player):
    np.testing.assert_array_equal(player.history, [[10], [10]])
    assert not player.over


def test_the_step_limit_ends_it_in_the_middle_of_a_chunk(player):
    for _ in range(3):
        assert not player.over
        player.play(_rows(0, 0, 0))
    outcome = player.outcome([0.1])
    assert player.over
    assert (outcome.success, outcome.steps, outcome.max_reward, outcome.latencies) == (False, 7, 0.5, [0.1])


def test_success_ends_it_at_once():
    player = EpisodePlayer(Counter(goal=2), CONFIG, max_steps=7)
    player.begin(0)
    player.play(_rows(1, 2, 3))
    assert player.over
    assert player.env.rows == [1, 2]
    assert player.outcome([]).success


def test_a_row_that_cannot_be_executed_ends_it_and_says_why(player):
    player.play(_rows(1, np.nan, 3))
    outcome = player.outcome([])
    assert player.over
    assert (outcome.success, outcome.steps, outcome.reason) == (False, 1, "step 1: row is nan")


def test_the_next_episode_knows_nothing_of_the_last(player):
    player.play(_rows(1, np.nan))
    player.begin(20)
    assert not player.over
    assert player.outcome([]).max_reward == 0
    np.testing.assert_array_equal(player.history, [[20], [20]])

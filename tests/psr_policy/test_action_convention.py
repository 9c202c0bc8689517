"""Demonstrations whose actions are not absolute poses in the world frame are told apart by their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from psr_policy.action_convention import check_absolute

BASE = np.array([-0.56, 0.0, 0.912])  # of robosuite's Panda at a table


def episode(commanded, hand, arms=1):
    """Paths (T, 3) as a file has them, the same for every arm."""
    rest = np.zeros((len(hand), 4))
    return {
        "actions": np.hstack([commanded, rest] * arms),
        **{f"obs/robot{arm}_eef_pos": hand for arm in range(arms)},
    }


def path(seed, steps=80):
    """A hand's smooth way over a table."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform([-0.2, -0.3, 0.82], [0.2, 0.3, 1.1], (4, 3))
    times = np.linspace(0, 3, steps)
    return np.stack([np.interp(times, range(4), column) for column in corners.T], axis=1)


def ahead(hand):
    return np.vstack([hand[2:], hand[-1:], hand[-1:]])


@given(st.integers(0, 10**6))
def test_absolute_commands_in_the_world_frame_pass(seed):
    hand = path(seed)
    check_absolute("d.hdf5: data/demo_0", episode(ahead(hand), hand, arms=2))


@given(st.integers(0, 10**6), st.sampled_from([0, 90, -90]))
def test_poses_in_a_base_frame_are_refused_as_such(seed, degrees):
    hand = path(seed)
    turn = Rotation.from_euler("z", degrees, degrees=True)
    with pytest.raises(ValueError, match="d.hdf5: data/demo_0: actions of arm 0 move with the hand .* base frame"):
        check_absolute("d.hdf5: data/demo_0", episode(turn.inv().apply(ahead(hand) - BASE), hand))


@given(st.integers(0, 10**6), st.sampled_from([1.0, 20.0]))
def test_deltas_are_refused_as_such(seed, scale):
    """In metres, and in robomimic's units of 5 cm."""
    hand = path(seed)
    with pytest.raises(ValueError, match="actions of arm 0 neither stay near .* as deltas do; expected absolute"):
        check_absolute("d.hdf5: data/demo_0", episode(scale * (ahead(hand) - hand), hand))


def test_the_second_arm_is_looked_at_too():
    hand = path(1)
    data = episode(ahead(hand), hand, arms=2)
    data["actions"][:, 7:10] = 0
    with pytest.raises(ValueError, match="actions of arm 1"):
        check_absolute("d.hdf5: data/demo_0", data)


def test_a_hand_that_was_not_recorded_cannot_be_judged():
    check_absolute("d.hdf5: data/demo_0", {"actions": np.zeros((5, 7))})

"""Can, Square, ToolHang and Transport: features as in the field's data sets, commands in the world frame."""

import numpy as np
import pytest

from psr_core.rotations import quat_xyzw_to_matrix
from sim.actions import pose_row
from sim.env import SimEnv
from tests.sim.test_env import fingerprint

POSED = {"Can": ["Can"], "Square": ["SquareNut"], "ToolHang": ["base", "frame", "tool"]}


@pytest.fixture(scope="module", params=["Can", "Square", "ToolHang", "Transport"])
def env(request):
    env = SimEnv(request.param)
    yield env
    env.close()


def hold(observation, move=(0, 0, 0), gripper=-1):
    """The row that moves every hand by this much."""
    return np.concatenate([pose_row(hand.position + move, hand.rotation, gripper) for hand in observation.hands])


def moved(env, seed, steps=4):
    observation = env.reset(seed)
    for i in range(steps):
        observation = env.step(hold(observation, move=(0.02 * (-1) ** i, 0.01, -0.01)))
    return observation


def test_features_have_the_tasks_names_order_and_sizes(env):
    observation = env.reset(0)
    assert [(name, values.shape[0]) for name, values in observation.features.items()] == list(env.task.obs_keys)
    assert len(observation.hands) == env.task.robots
    assert list(observation.objects) == list(env.task.objects)
    assert list(observation.flags) == list(env.task.flags)
    assert not observation.success


def test_object_holds_poses_and_relative_poses_of_one_and_the_same_moment(env):
    """The relative poses are made anew from the poses; robosuite's own would be those of the step before."""
    observation = moved(env, 3)
    feature, hand = observation.features["object"], observation.hands[0]
    for number, name in enumerate(POSED.get(env.task.name, [])):
        pose, relative = feature[14 * number :][:7], feature[14 * number + 7 :][:7]
        position, quat = observation.objects[name]
        assert pose.tobytes() == np.concatenate([position, quat]).tobytes()
        axes = quat_xyzw_to_matrix(hand.quat_xyzw)
        np.testing.assert_allclose(axes @ relative[:3] + hand.position, position, atol=1e-9)
        turned = axes @ quat_xyzw_to_matrix(relative[3:])
        np.testing.assert_allclose(turned, quat_xyzw_to_matrix(quat), atol=1e-9)


def test_object_is_robosuites_own_once_that_has_caught_up(env):
    feature = moved(env, 4).features["object"]
    env._env._get_observations(force_update=True)
    theirs = env._env._get_observations(force_update=True)
    if env.task.name == "Transport":
        expected = theirs["object-state"]
    else:
        names = [
            f"{name}{part}"
            for name in POSED[env.task.name]
            for part in ("_pos", "_quat", "_to_robot0_eef_pos", "_to_robot0_eef_quat")
        ]
        expected = np.concatenate([np.atleast_1d(theirs[name]) for name in [*names, *env.task.flags]])
    np.testing.assert_allclose(feature, expected, atol=1e-6)


def test_every_hand_goes_where_it_is_commanded_in_the_world_frame(env):
    start = env.reset(5)
    targets = [hand.position + [0.04, -0.05, 0.03] for hand in start.hands]
    row = np.concatenate([pose_row(t, hand.rotation, -1) for t, hand in zip(targets, start.hands, strict=True)])
    for _ in range(60):
        reached = env.step(row)
    for target, hand, before in zip(targets, reached.hands, start.hands, strict=True):
        assert np.abs(hand.position - target).max() < 4e-3
        assert np.abs(hand.rotation - before.rotation).max() < 0.03


@pytest.mark.parametrize("env", ["Transport"], indirect=True)
def test_only_the_hand_that_is_told_to_moves(env):
    start = env.reset(6)
    still, moving = start.hands
    for _ in range(30):
        reached = env.step(
            np.concatenate(
                [
                    pose_row(still.position, still.rotation, -1),
                    pose_row(moving.position + [0, 0, 0.06], moving.rotation, 1),
                ]
            )
        )
    assert np.abs(reached.hands[0].position - still.position).max() < 4e-3
    assert reached.hands[1].position[2] - moving.position[2] == pytest.approx(0.06, abs=4e-3)
    fingers = np.abs(reached.features["robot0_gripper_qpos"]), np.abs(reached.features["robot1_gripper_qpos"])
    assert fingers[0].min() > 0.03 > 0.01 > fingers[1].max()


def test_the_same_seed_gives_the_same_bits_after_other_episodes(env):
    first = fingerprint(moved(env, 11))
    assert fingerprint(moved(env, 12)) != first
    np.random.random(17)
    assert fingerprint(moved(env, 11)) == first


def test_rows_of_another_size_are_refused_and_move_nothing(env):
    observation = env.reset(8)
    before = env.state()
    other = 10 if env.task.action_dim == 20 else 20
    with pytest.raises(ValueError, match=rf"shape \({other},\), expected \({env.task.action_dim},\)"):
        env.step(np.resize(hold(observation), other))
    with pytest.raises(ValueError, match=rf"shape \(3, {other}\), expected \(R, {env.task.action_dim}\)"):
        env.check_rows(np.resize(hold(observation), (3, other)))
    bad = hold(observation)
    bad[-7:-1] = 0
    with pytest.raises(ValueError, match="names no rotation"):
        env.step(bad)
    assert np.array_equal(env.state(), before)

"""The scripted expert lifts, holds, varies from seed to seed and repeats itself for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from sim.actions import row_to_action
from sim.experts.lift import LiftExpert, LiftStyle
from tests.sim.experts.playing import played


def episode(env, seed, steps=110):
    return played(env, LiftExpert(seed), seed, steps)


@pytest.fixture(scope="module")
def episodes(lift):
    return [episode(lift, seed) for seed in range(500, 506)]


class TestLifting:
    def test_the_cube_is_lifted_within_90_steps_and_still_held_at_the_end(self, episodes):
        for observations, _ in episodes:
            assert any(observation.success for observation in observations[:90])
            assert observations[-1].success
            assert np.abs(observations[-1].features["object"][7:]).max() < 0.015  # cube in the hand

    def test_fingers_are_square_to_the_cube_and_point_down_when_they_close(self, episodes):
        for observations, rows in episodes:
            closing = observations[int(np.argmax(rows[:, 9] > 0))]
            x, y, z, w = closing.objects["cube"][1]
            cube_yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
            hand_yaw = np.arctan2(closing.eef_rotation[1, 0], closing.eef_rotation[0, 0])
            off = (hand_yaw - cube_yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
            assert abs(np.degrees(off)) < 15
            assert closing.eef_rotation[2, 2] < -0.99

    def test_commands_run_ahead_of_the_hand_by_little_and_change_smoothly(self, episodes):
        for observations, rows in episodes:
            hand = np.array([observation.eef_position for observation in observations[:-1]])
            assert np.linalg.norm(rows[:, :3] - hand, axis=1).max() < 0.05
            assert np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1).max() < 0.05
            assert np.isfinite(row_to_action(rows)).all()
            assert set(rows[:, 9]) == {-1.0, 1.0}

    def test_the_hand_never_stands_still_before_the_lift(self, episodes):
        """A policy that sees two observations cannot count a pause out."""
        for observations, _ in episodes:
            until = next(i for i, observation in enumerate(observations) if observation.success)
            joints = np.array([observation.joint_positions for observation in observations[:until]])
            assert np.abs(np.diff(joints, axis=0)).max(axis=1).min() > 1e-5

    def test_it_reaches_again_when_the_cube_is_taken_out_of_its_fingers(self, lift):
        observation, expert = lift.reset(0), LiftExpert(0)
        while True:
            row = expert.act(observation)
            if row[9] > 0 and observation.features["robot0_gripper_qpos"][0] < 0.03:
                break
            observation = lift.step(row)
        joint = lift._env.cube.joints[0]
        pose = lift._env.sim.data.get_joint_qpos(joint).copy()
        pose[:3] += [0.06, 0.05, 0]
        lift._env.sim.data.set_joint_qpos(joint, pose)
        gripper = []
        for _ in range(150):
            row = expert.act(observation)
            gripper.append(row[9])
            observation = lift.step(row)
        assert observation.success
        assert -1.0 in gripper


class TestSeeds:
    def test_the_same_seed_does_the_same(self, lift, episodes):
        _, rows = episode(lift, 503, steps=30)
        assert rows.tobytes() == episodes[3][1][:30].tobytes()

    def test_styles_differ_and_stay_in_their_ranges(self):
        styles = [LiftExpert(seed).style for seed in range(50)]
        assert len({style.hover for style in styles}) == 50
        assert all(np.linalg.norm(style.side) < style.rim for style in styles)
        assert all(abs(style.grasp_height) <= 0.006 and 0.08 <= style.lift <= 0.15 for style in styles)

    def test_global_random_numbers_are_neither_used_nor_changed(self):
        np.random.seed(1)
        before = np.random.get_state()[1].copy()
        style = LiftExpert(3).style
        np.random.seed(2)
        assert LiftExpert(3).style.hover == style.hover
        np.random.seed(1)
        LiftExpert(4)
        assert np.array_equal(np.random.get_state()[1], before)


def test_a_cube_turned_by_45_degrees_is_grasped_either_way(lift):
    observation = lift.reset(0)
    hand_yaw = np.arctan2(observation.eef_rotation[1, 0], observation.eef_rotation[0, 0])
    angle = hand_yaw + np.radians(44)
    quat = np.array([0, 0, np.sin(angle / 2), np.cos(angle / 2)])
    turns = []
    for other_way in (False, True):
        expert = LiftExpert(0)
        expert.style = replace(LiftStyle.draw(np.random.default_rng(0)), turn_other_way=other_way, yaw_offset=0.0)
        grasp = expert._grasp_rotation(quat, observation.eef_rotation)
        turns.append(np.degrees(np.arctan2(grasp[1, 0], grasp[0, 0]) - hand_yaw))
    assert sorted((turn + 180) % 360 - 180 for turn in turns) == pytest.approx([-46, 44], abs=1e-6)

"""The simulated task: what it tells, what a row does to it, and that the seed decides everything."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.actions import pose_row
from sim.env import SimEnv, environment_arguments
from sim.experts.lift import LiftExpert

ROOT = Path(__file__).parents[2]


def fingerprint(observation) -> bytes:
    """Every bit of an observation."""
    arrays = [
        *observation.features.values(),
        observation.joint_positions,
        observation.joint_velocities,
        observation.eef_rotation,
        *(array for pose in observation.objects.values() for array in pose),
    ]
    return b"".join(array.tobytes() for array in arrays) + bytes([observation.success, observation.step])


def trajectory(env: SimEnv, seed: int, steps: int = 12) -> str:
    """A hash of what is seen while the hand is moved about."""
    observation = env.reset(seed)
    seen = hashlib.sha256(fingerprint(observation))
    for i in range(steps):
        position = observation.eef_position + [0.02 * np.sin(i), 0.01, -0.01]
        observation = env.step(pose_row(position, observation.eef_rotation, (-1) ** i))
        seen.update(fingerprint(observation))
    return seen.hexdigest()


def settle(env: SimEnv, row, steps: int = 60):
    for _ in range(steps):
        observation = env.step(row)
    return observation


class TestObservation:
    def test_features_have_the_tasks_names_order_and_sizes(self, lift):
        features = lift.reset(0).features
        assert [(name, values.shape[0]) for name, values in features.items()] == list(lift.task.obs_keys)
        assert all(values.dtype == np.float64 and np.isfinite(values).all() for values in features.values())

    def test_object_is_rebuilt_bit_for_bit_from_the_published_poses(self, lift):
        observation = lift.reset(5)
        for _ in range(10):
            position, quat = observation.objects["cube"]
            rebuilt = np.concatenate([position, quat, position - observation.eef_position])
            assert rebuilt.tobytes() == observation.features["object"].tobytes()
            assert observation.eef_position.tobytes() == observation.features["robot0_eef_pos"].tobytes()
            assert observation.eef_quat_xyzw.tobytes() == observation.features["robot0_eef_quat"].tobytes()
            observation = lift.step(pose_row(position, observation.eef_rotation, 1))

    def test_joints_are_arm_and_fingers_as_the_features_have_them(self, lift):
        observation = lift.reset(1)
        assert len(observation.joint_names) == 9
        assert observation.joint_positions.shape == observation.joint_velocities.shape == (9,)
        assert np.array_equal(observation.joint_positions[7:], observation.features["robot0_gripper_qpos"])
        assert "finger" in observation.joint_names[7]

    def test_poses_belong_to_the_joints_of_the_same_moment(self, lift):
        """Freezing the scene's state and recomputing it must change nothing that was observed."""
        observation = lift.reset(2)
        observation = lift.step(pose_row(observation.eef_position + [0.1, 0, 0], observation.eef_rotation, -1))
        lift._env.sim.forward()
        assert fingerprint(lift._observe()) == fingerprint(observation)

    def test_steps_are_counted_and_time_passes_at_20_hz(self, lift):
        observation = lift.reset(0)
        started = lift.state()[0]
        row = pose_row(observation.eef_position, observation.eef_rotation, -1)
        assert [lift.step(row).step for _ in range(3)] == [1, 2, 3]
        assert lift.state()[0] - started == pytest.approx(0.15)

    def test_success_and_reward_come_with_the_cube_in_the_air(self, lift):
        observation, expert = lift.reset(0), LiftExpert(0)
        assert (observation.success, observation.reward) == (False, 0)
        while not observation.success and observation.step < 150:
            observation = lift.step(expert.act(observation))
            height = observation.objects["cube"][0][2]
            assert observation.success == (height > 0.84)
            assert observation.reward == float(observation.success)
        assert observation.success


class TestCommands:
    """Rows are poses of the controller's site in the world frame; the Panda's base stands at x = -0.56, z = 0.912."""

    def test_the_hand_goes_to_the_commanded_world_position(self, lift):
        start = lift.reset(3)
        target = start.eef_position + [0.06, 0.08, -0.05]
        reached = settle(lift, pose_row(target, start.eef_rotation, -1))
        assert np.abs(reached.eef_position - target).max() < 2e-3

    def test_the_hand_takes_the_commanded_world_orientation(self, lift):
        start = lift.reset(3)
        cos, sin = np.cos(0.6), np.sin(0.6)
        target = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ start.eef_rotation
        reached = settle(lift, pose_row(start.eef_position, target, -1))
        assert np.trace(reached.eef_rotation.T @ target) > 1 + 2 * np.cos(0.01)

    def test_the_controllers_goal_is_the_command_itself(self, lift):
        start = lift.reset(4)
        row = pose_row(start.eef_position + [0.03, -0.02, 0.01], start.eef_rotation, -1)
        lift.step(row)
        controller = lift._env.robots[0].composite_controller.part_controllers["right"]
        assert np.allclose(controller.goal_pos, row[:3], atol=1e-9)
        assert np.allclose(controller.goal_ori, start.eef_rotation, atol=1e-6)
        assert np.linalg.norm(controller.origin_pos) > 0.5  # so the world's frame is not the base's

    def test_commanding_the_present_pose_holds_it(self, lift):
        start = lift.reset(6)
        held = settle(lift, pose_row(start.eef_position, start.eef_rotation, -1), steps=30)
        assert np.abs(held.eef_position - start.eef_position).max() < 3e-3
        assert np.abs(held.eef_rotation - start.eef_rotation).max() < 0.02

    def test_the_published_quaternion_is_not_what_rows_command(self, lift):
        from psr_core.rotations import quat_xyzw_to_matrix

        start = lift.reset(6)
        between = quat_xyzw_to_matrix(start.eef_quat_xyzw).T @ start.eef_rotation
        assert np.degrees(np.arccos((np.trace(between) - 1) / 2)) > 40

    @pytest.mark.parametrize(("command", "gap"), [(-1, 0.038), (1, 0.001)])
    def test_minus_one_opens_and_one_closes_the_fingers(self, lift, command, gap):
        start = lift.reset(7)
        moved = settle(lift, pose_row(start.eef_position + [0, 0, 0.05], start.eef_rotation, command), steps=20)
        assert np.abs(moved.features["robot0_gripper_qpos"]) == pytest.approx([gap, gap], abs=1.5e-3)

    def test_a_bad_row_is_refused_and_moves_nothing(self, lift):
        start = lift.reset(8)
        before = lift.state()
        row = pose_row(start.eef_position, start.eef_rotation, -1)
        row[4] = np.nan
        with pytest.raises(ValueError, match="non-finite"):
            lift.step(row)
        with pytest.raises(ValueError, match=r"shape \(2, 10\)"):
            lift.step(np.stack([pose_row(start.eef_position, start.eef_rotation, -1)] * 2))
        assert np.array_equal(lift.state(), before)


class TestSeeds:
    def test_the_same_seed_gives_the_same_bits_after_other_episodes(self, lift):
        first = trajectory(lift, 11)
        trajectory(lift, 12, steps=5)
        np.random.random(17)
        assert trajectory(lift, 11) == first

    def test_another_simulator_gives_the_same_bits(self, lift):
        other = SimEnv("Lift")
        assert trajectory(other, 13) == trajectory(lift, 13)
        other.close()

    def test_another_process_gives_the_same_bits(self, lift):
        code = "from tests.sim.test_env import *; e = SimEnv('Lift'); e.reset(1); print(trajectory(e, 14))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT
        )
        assert done.stdout.strip() == trajectory(lift, 14)

    def test_other_seeds_give_other_scenes(self, lift):
        cubes = np.array([lift.reset(seed).features["object"] for seed in range(4)])
        assert len(np.unique(cubes[:, 0])) == 4

    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_impossible_seeds_are_refused(self, lift, seed):
        with pytest.raises(ValueError, match="seed is"):
            lift.reset(seed)


def test_the_environments_arguments_are_plain_json_and_absolute():
    arguments = json.loads(json.dumps(environment_arguments()))
    arm = arguments["controller_configs"]["body_parts"]["right"]
    assert (arm["input_type"], arm["input_ref_frame"]) == ("absolute", "world")


def test_images_need_a_camera(lift):
    with pytest.raises(ValueError, match="has no camera"):
        lift.images()

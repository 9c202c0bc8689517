"""The scripted expert assembles the frame, hangs the tool, lets go, and starts over when something is lost."""

import numpy as np
import pytest

from psr_core.rotations import axis_angle_to_matrix
from sim.actions import row_to_action
from sim.env import SimEnv
from sim.experts import tool_hang_motion as motion
from sim.experts.tool_hang import ToolHangExpert, ToolHangStyle
from sim.experts.tool_hang_motion import Pose, Scene
from tests.sim.experts.playing import played_to_success


@pytest.fixture(scope="module")
def env():
    env = SimEnv("ToolHang")
    yield env
    env.close()


def episode(env, seed, grade, steps):
    return played_to_success(env, ToolHangExpert(seed, grade), seed, steps)


@pytest.fixture(scope="module")
def proficient(env):
    return episode(env, 500, "proficient", 400)


@pytest.fixture(scope="module")
def mixed(env):
    return episode(env, 501, "mixed", 700)


class TestHanging:
    def test_the_tool_hangs_on_the_assembled_frame_and_stays_there(self, proficient, mixed):
        for observations, _ in (proficient, mixed):
            assert [observation.success for observation in observations[-5:]] == [True] * 5

    def test_the_frame_is_let_go_in_the_stand_before_the_tool_is_touched(self, proficient):
        observations, _ = proficient
        assembled = next(i for i, observation in enumerate(observations) if observation.flags["frame_is_assembled"])
        lifted = next(i for i, seen in enumerate(observations) if seen.objects["tool"][0][2] > 0.85)
        assert assembled < lifted
        assert all(observation.flags["frame_is_assembled"] for observation in observations[assembled:])
        between = [Scene.seen(observation).fingers for observation in observations[assembled:lifted]]
        assert max(between) > 0.035

    def test_commands_run_ahead_of_the_hand_by_little_and_change_smoothly(self, proficient, mixed):
        for observations, rows in (proficient, mixed):
            hand = np.array([observation.eef_position for observation in observations[:-1]])
            assert np.linalg.norm(rows[:, :3] - hand, axis=1).max() < 0.09
            # it jumps where the hand turns back, after letting go, and nowhere else
            assert np.quantile(np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1), 0.98) < 0.06
            assert np.isfinite(row_to_action(rows)).all()
            assert set(rows[:, 9]) == {-1.0, 1.0}

    def test_the_hand_never_stands_still_before_success(self, proficient):
        """A policy that sees two observations cannot count a pause out."""
        observations, _ = proficient
        joints = np.array([observation.joint_positions for observation in observations if not observation.success])
        assert np.abs(np.diff(joints, axis=0)).max(axis=1).min() > 1e-5

    def test_it_fetches_the_frame_again_when_that_is_taken_out_of_its_fingers(self, env):
        observation, expert = env.reset(0), ToolHangExpert(0)
        joint = env._env.frame.joints[0]
        lying = None
        while observation.objects["frame"][0][2] < 0.9:
            if observation.step == 15:
                lying = env._env.sim.data.get_joint_qpos(joint).copy()  # it has come to rest
            observation = env.step(expert.act(observation))
        env._env.sim.data.set_joint_qpos(joint, lying)
        env._env.sim.data.set_joint_qvel(joint, np.zeros(6))
        gripper = []
        for _ in range(120):
            row = expert.act(observation)
            gripper.append(row[9])
            observation = env.step(row)
        assert -1.0 in gripper
        assert observation.objects["frame"][0][2] > 0.95


class TestStyles:
    def test_the_same_seed_does_the_same(self, env, proficient):
        _, rows = episode(env, 500, "proficient", 20)
        assert rows.tobytes() == proficient[1][:20].tobytes()

    def test_proficient_never_errs_and_mixed_has_several_ways_and_mistakes(self):
        proficient = [ToolHangExpert(seed).style for seed in range(100)]
        mixed = [ToolHangExpert(seed, "mixed").style for seed in range(100)]
        assert not any(any(style.fumbles) or np.any(style.misses) or style.frame_lean for style in proficient)
        assert all(sum(length for _, length in style.pauses) < 5 for style in proficient)
        for several in (
            [style.frame_lean < -0.2 for style in mixed],
            [style.tool_along < 0 for style in mixed],
            [any(style.fumbles) for style in mixed],
            [np.any(style.misses) for style in mixed],
        ):
            assert 0.25 < np.mean(several) < 0.75
        assert np.ptp([style.reach for style in mixed]) > np.ptp([style.reach for style in proficient])

    def test_global_random_numbers_are_neither_used_nor_changed(self):
        np.random.seed(1)
        before = np.random.get_state()[1].copy()
        hover = ToolHangExpert(3).style.hover
        assert np.array_equal(np.random.get_state()[1], before)
        np.random.seed(2)
        assert ToolHangExpert(3).style.hover == hover
        assert ToolHangStyle.draw(np.random.default_rng(0), "mixed").hover != hover


class TestGeometry:
    def test_lengths_are_those_of_the_simulated_pieces(self, env):
        scene, sim = Scene.seen(env.reset(3)), env._env.sim
        site = {
            name: sim.data.site_xpos[sim.model.site_name2id(name)] for name in ("frame_tip_site", "frame_hang_site")
        }
        geom = {
            name: sim.data.geom_xpos[sim.model.geom_name2id(name)]
            for name in (
                "frame_grip_frame",
                "frame_hook_frame",
                "tool_hole1_hc_0",
                *(f"stand_wall{i}" for i in range(4)),
            )
        }
        assert scene.frame.at(motion.ROD_TIP) == pytest.approx(site["frame_tip_site"], abs=1e-3)
        assert scene.frame.at(motion.FRAME_GRIP) == pytest.approx(geom["frame_grip_frame"], abs=1e-3)
        assert np.linalg.norm(scene.frame.at(motion.HOOK_END) - geom["frame_hook_frame"]) < 0.01
        arm, seat = (point - site["frame_hang_site"] for point in (scene.frame.position, scene.frame.at(motion.SEAT)))
        assert 0.0075 < arm @ seat / np.linalg.norm(arm) < 0.02  # inside the bent end
        assert np.linalg.norm(scene.tool.at(motion.LIP) - geom["tool_hole1_hc_0"]) < 0.006
        walls = np.mean([geom[f"stand_wall{i}"] for i in range(4)], axis=0)
        assert scene.base.at(motion.MOUNT)[:2] == pytest.approx(walls[:2], abs=1e-6)

    def test_a_hand_moved_with_what_it_holds_brings_its_point_to_the_goal(self):
        rng = np.random.default_rng(0)
        hand, held, goal = (Pose(rng.normal(size=3), axis_angle_to_matrix(rng.normal(size=3))) for _ in range(3))
        point = rng.normal(size=3)
        moved = motion.moved_with(hand, held, goal, point, np.pi)
        carried = moved.rotation @ hand.rotation.T @ held.rotation
        assert carried == pytest.approx(goal.rotation, abs=1e-9)
        origin = moved.position + moved.rotation @ hand.rotation.T @ (held.position - hand.position)
        assert origin + carried @ point == pytest.approx(goal.position, abs=1e-9)

    def test_grasps_point_down_with_the_fingers_across_what_they_close_on(self, env):
        scene = Scene.seen(env.reset(4))
        frame, tool = motion.frame_grasp(scene, 0.0, 0.0), motion.tool_grasp(scene, 0.0, 0.0)
        for grasp, along in ((frame, scene.frame.rotation[:, 2]), (tool, scene.tool.rotation[:, 0])):
            assert grasp.rotation[:, 2] == pytest.approx([0, 0, -1], abs=1e-3)
            assert grasp.rotation[:, 0] @ along == pytest.approx(0, abs=1e-3)
            assert np.linalg.det(grasp.rotation) == pytest.approx(1)

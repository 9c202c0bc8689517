"""The scripted expert puts the nut over its peg, in both grades, and tries again when the nut gets lost."""

import numpy as np
import pytest

from psr_core.rotations import quat_xyzw_to_matrix
from sim.actions import action_to_row, row_to_action
from sim.demos import record_demo
from sim.env import SimEnv
from sim.experts.motion import Phase, yaw_of
from sim.experts.square import SquareExpert
from tests.sim.experts.playing import played

PEG = np.array([0.23, 0.10])


@pytest.fixture(scope="module")
def square():
    env = SimEnv("Square")
    yield env
    env.close()


def episode(env, seed, grade, steps):
    return played(env, SquareExpert(seed, grade), seed, steps)


@pytest.fixture(scope="module")
def episodes(square):
    return [episode(square, seed, "proficient", steps=150) for seed in (500, 501, 502)]


def nut_yaw(observation):
    return yaw_of(quat_xyzw_to_matrix(observation.objects["SquareNut"][1]))


class TestPuttingOverThePeg:
    def test_the_nut_lies_around_the_peg_and_the_hand_has_let_go_at_the_end(self, episodes):
        for observations, _ in episodes:
            assert observations[-1].success
            position = observations[-1].objects["SquareNut"][0]
            assert np.abs(position[:2] - PEG).max() < 0.01
            assert position[2] < 0.84  # flat on the table
            assert np.linalg.norm(observations[-1].eef_position - position) > 0.1

    def test_fingers_close_across_the_handle(self, episodes):
        for observations, rows in episodes:
            closing = observations[int(np.argmax(rows[:, 9] > 0))]
            off = yaw_of(closing.eef_rotation) - nut_yaw(closing)  # fingers close along the hand's x axis
            assert abs(np.cos(off)) < np.sin(np.radians(12))
            nut, quat = closing.objects["SquareNut"]
            in_nut = quat_xyzw_to_matrix(quat).T @ (closing.eef_position - nut)
            assert 0.05 < in_nut[0] < 0.075 and abs(in_nut[1]) < 0.01

    def test_the_nut_is_square_to_the_peg_before_it_goes_down(self, episodes):
        for observations, _ in episodes:
            entering = next(
                observation
                for before, observation in zip(observations, observations[1:], strict=False)
                if before.objects["SquareNut"][0][2] > 0.955 >= observation.objects["SquareNut"][0][2]
                and np.linalg.norm(observation.objects["SquareNut"][0][:2] - PEG) < 0.03
            )
            off = (nut_yaw(entering) + np.pi / 4) % (np.pi / 2) - np.pi / 4
            assert abs(np.degrees(off)) < 20

    def test_commands_run_ahead_of_the_hand_by_little_and_change_smoothly(self, episodes):
        for observations, rows in episodes:
            hand = np.array([observation.eef_position for observation in observations[:-1]])
            assert np.linalg.norm(rows[:, :3] - hand, axis=1).max() < 0.1
            assert np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1).max() < 0.1
            assert np.isfinite(row_to_action(rows)).all()
            assert set(rows[:, 9]) == {-1.0, 1.0}
            assert np.count_nonzero(np.diff(rows[:, 9])) == 2  # closed once, opened once

    def test_it_reaches_again_when_the_nut_is_taken_out_of_its_fingers(self, square):
        observation, expert = square.reset(0), SquareExpert(0)
        while observation.objects["SquareNut"][0][2] < 0.92:
            observation = square.step(expert.act(observation))
        joint = square._env.nuts[0].joints[0]
        square._env.sim.data.set_joint_qpos(joint, np.array([-0.1, 0.18, 0.835, 1, 0, 0, 0]))
        square._env.sim.data.set_joint_qvel(joint, np.zeros(6))
        phases = []
        while not observation.success and observation.step < expert.max_steps:
            observation = square.step(expert.act(observation))
            phases.append(expert._grip.phase)
        assert observation.success
        assert Phase.REACH in phases and phases[-1] is Phase.RELEASE


class TestWaysToTurn:
    @pytest.mark.parametrize("grade", ["proficient", "mixed"])
    def test_the_hand_fits_the_handle_and_the_nut_the_peg_within_what_the_wrist_can_turn(self, grade):
        for seed, yaw in enumerate(np.linspace(-np.pi, np.pi, 200)):
            grasp, over = SquareExpert(seed, grade)._decided(0.0, yaw)
            assert np.sin(grasp - yaw) == pytest.approx(0, abs=1e-9)
            final = yaw + over - grasp  # the nut turns with the hand
            assert np.sin(2 * final) == pytest.approx(0, abs=1e-9)
            assert np.cos(final) < 0.5  # the handle does not point away from the robot
            assert max(abs(grasp), abs(over)) < np.radians(105)

    def test_mixed_ones_take_more_of_them(self):
        def ways(grade):
            taken = {SquareExpert(seed, grade)._decided(0.0, 0.5) for seed in range(50)}
            return len({(round(grasp, 6), round(over, 6)) for grasp, over in taken})

        assert ways("mixed") > ways("proficient") >= 1


class TestGrades:
    def test_a_mixed_episode_succeeds_and_its_recorded_actions_do_so_again(self, square):
        demo = record_demo(square, 3, "mixed")
        square.reset(3)
        for action in demo.actions:
            observation = square.step(action_to_row(action))
        assert demo.success and observation.success

    def test_mixed_ones_differ_more_and_make_mistakes(self):
        clean = [SquareExpert(seed, "proficient").style for seed in range(200)]
        mixed = [SquareExpert(seed, "mixed").style for seed in range(200)]
        for name in ("along", "hover", "carry", "detour", "noise"):
            assert np.std([getattr(s, name) for s in mixed]) > 1.5 * np.std([getattr(s, name) for s in clean])
        assert not any(s.miss.any() or s.stray.any() or s.overshoot.any() or np.isfinite(s.fumble) for s in clean)
        for made in (
            [s.miss.any() for s in mixed],
            [s.stray.any() for s in mixed],
            [s.overshoot.any() for s in mixed],
            [np.isfinite(s.fumble) for s in mixed],
        ):
            assert 0.05 < np.mean(made) < 0.3
        assert {len(s.pauses) for s in mixed} == {0, 1, 2, 3}


class TestSeeds:
    def test_the_same_seed_does_the_same(self, square, episodes):
        _, rows = episode(square, 501, "proficient", steps=40)
        assert rows.tobytes() == episodes[1][1][:40].tobytes()

    def test_global_random_numbers_are_neither_used_nor_changed(self):
        np.random.seed(1)
        before = np.random.get_state()[1].copy()
        hover = SquareExpert(3, "mixed").style.hover
        assert np.array_equal(np.random.get_state()[1], before)
        np.random.seed(2)
        assert SquareExpert(3, "mixed").style.hover == hover

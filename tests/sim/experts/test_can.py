"""The scripted expert puts the can away, in both grades, and tries again when the can gets lost."""

import numpy as np
import pytest

from sim.actions import action_to_row, row_to_action
from sim.demos import record_demo
from sim.env import SimEnv
from sim.experts.can import CanExpert
from sim.experts.motion import Phase
from tests.sim.experts.playing import played


@pytest.fixture(scope="module")
def can():
    env = SimEnv("Can")
    yield env
    env.close()


def episode(env, seed, grade, steps):
    return played(env, CanExpert(seed, grade), seed, steps)


@pytest.fixture(scope="module")
def episodes(can):
    return [episode(can, seed, "proficient", steps=150) for seed in (500, 501, 502)]


class TestPuttingAway:
    def test_the_can_is_in_its_compartment_and_the_hand_away_from_it_at_the_end(self, episodes):
        for observations, _ in episodes:
            assert observations[-1].success
            position = observations[-1].objects["Can"][0]
            assert 0.1 < position[0] < 0.3 and 0.28 < position[1] < 0.53 and position[2] < 0.88
            assert np.linalg.norm(observations[-1].eef_position - position) > 0.06

    def test_it_is_lifted_over_the_walls(self, episodes):
        for observations, _ in episodes:
            positions = np.array([observation.objects["Can"][0] for observation in observations])
            over_a_wall = (np.abs(positions[:, 1] - 0.015) < 0.05) | (np.abs(positions[:, 1] - 0.28) < 0.03)
            assert over_a_wall.any()
            assert positions[over_a_wall, 2].min() > 0.9 + 0.04  # the walls' height and half the can's

    def test_commands_run_ahead_of_the_hand_by_little_and_change_smoothly(self, episodes):
        for observations, rows in episodes:
            hand = np.array([observation.eef_position for observation in observations[:-1]])
            assert np.linalg.norm(rows[:, :3] - hand, axis=1).max() < 0.14
            assert np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1).max() < 0.14
            assert np.isfinite(row_to_action(rows)).all()
            assert set(rows[:, 9]) == {-1.0, 1.0}
            assert np.count_nonzero(np.diff(rows[:, 9])) == 2  # closed once, opened once

    def test_the_hand_comes_to_rest_only_while_the_fingers_move_or_the_can_is_in_place(self, episodes):
        """A policy that sees two observations cannot count a pause out."""
        for observations, rows in episodes:
            until = next(i for i, observation in enumerate(observations) if observation.success)
            reaching = np.array([observation.eef_position for observation in observations[: np.argmax(rows[:, 9] > 0)]])
            carried = np.array([o.eef_position for o in observations[:until] if o.objects["Can"][0][2] > 0.9])
            for positions in (reaching, carried):
                assert np.linalg.norm(np.diff(positions, axis=0), axis=1).min() > 1e-4

    def test_it_reaches_again_when_the_can_is_taken_out_of_its_fingers(self, can):
        observation, expert = can.reset(0), CanExpert(0)
        while observation.objects["Can"][0][2] < 0.93:
            observation = can.step(expert.act(observation))
        joint = can._env.objects[3].joints[0]
        can._env.sim.data.set_joint_qpos(joint, np.array([0.05, -0.3, 0.87, 1, 0, 0, 0]))
        can._env.sim.data.set_joint_qvel(joint, np.zeros(6))
        phases = []
        while not observation.success and observation.step < expert.max_steps:
            observation = can.step(expert.act(observation))
            phases.append(expert._grip.phase)
        assert observation.success
        assert Phase.REACH in phases and phases[-1] is Phase.RELEASE


class TestGrades:
    def test_a_mixed_episode_succeeds_and_its_recorded_actions_do_so_again(self, can):
        demo = record_demo(can, 3, "mixed")
        can.reset(3)
        for action in demo.actions:
            observation = can.step(action_to_row(action))
        assert demo.success and observation.success

    def test_mixed_ones_differ_more_and_make_mistakes(self):
        clean = [CanExpert(seed, "proficient").style for seed in range(200)]
        mixed = [CanExpert(seed, "mixed").style for seed in range(200)]
        for name in ("yaw", "hover", "carry", "detour", "drop"):
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

    def test_a_grasp_tried_above_the_can_closes_on_nothing_and_is_tried_again(self, can):
        seed = next(s for s in range(100) if CanExpert(s, "mixed").style.miss.any())
        observation, expert = can.reset(seed), CanExpert(seed, "mixed")
        while expert._grip.phase is not Phase.CARRY and observation.step < 200:
            observation = can.step(expert.act(observation))
        assert expert._grip.phase is Phase.CARRY
        assert expert._grip.tries == 2


class TestSeeds:
    def test_the_same_seed_does_the_same(self, can, episodes):
        _, rows = episode(can, 501, "proficient", steps=40)
        assert rows.tobytes() == episodes[1][1][:40].tobytes()

    def test_global_random_numbers_are_neither_used_nor_changed(self):
        np.random.seed(1)
        before = np.random.get_state()[1].copy()
        hover = CanExpert(3, "mixed").style.hover
        assert np.array_equal(np.random.get_state()[1], before)
        np.random.seed(2)
        assert CanExpert(3, "mixed").style.hover == hover

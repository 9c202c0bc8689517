"""The scripted expert hands the hammer over, clears the bin, varies from seed to seed and repeats itself."""

import numpy as np
import pytest

from sim.actions import row_to_action
from sim.env import SimEnv
from sim.experts.transport import TransportExpert
from sim.experts.transport_hand import FACING, TransportHand
from sim.experts.transport_style import TransportStyle
from tests.sim.experts.playing import played_to_success


@pytest.fixture(scope="module")
def env():
    env = SimEnv("Transport")
    yield env
    env.close()


def episode(env, seed, grade, steps=420):
    return played_to_success(env, TransportExpert(seed, grade), seed, steps)


@pytest.fixture(scope="module")
def proficient(env):
    return episode(env, 201, "proficient")


@pytest.fixture(scope="module")
def mixed(env):
    return episode(env, 500, "mixed")


class TestTransporting:
    def test_hammer_and_trash_lie_in_their_bins_and_stay_there(self, proficient, mixed):
        for observations, _ in (proficient, mixed):
            assert [observation.success for observation in observations[-5:]] == [True] * 5
            assert observations[-1].flags == {"payload_in_target_bin": True, "trash_in_trash_bin": True}

    def test_the_hammer_is_handed_over_in_the_air(self, proficient):
        """For a while the fingers of both hands are closed on it, and it never lies between the tables."""
        observations, _ = proficient
        near = [
            all(np.linalg.norm(hand.position - seen.objects["payload"][0]) < 0.13 for hand in seen.hands)
            for seen in observations
        ]
        assert sum(near) > 3
        assert min(seen.objects["payload"][0][2] for seen, both in zip(observations, near, strict=True) if both) > 0.95

    def test_the_cube_is_carried_by_its_middle(self, proficient):
        """Held by its edge, which is 2 cm off, it slips."""
        observations, _ = proficient
        offsets = [seen.hands[1].position - seen.objects["trash"][0] for seen in observations]
        carried = [
            np.linalg.norm(offset[:2])
            for seen, offset in zip(observations, offsets, strict=True)
            if seen.objects["trash"][0][2] > 1.0 and abs(offset[2]) < 0.03
        ]
        assert len(carried) > 5
        assert max(carried) < 0.02

    def test_both_arms_work_at_the_same_time(self, proficient):
        observations, _ = proficient
        trash_done = next(i for i, seen in enumerate(observations) if seen.flags["trash_in_trash_bin"])
        hammer_up = next(i for i, seen in enumerate(observations) if seen.objects["payload"][0][2] > 0.95)
        assert trash_done < hammer_up

    def test_commands_run_ahead_of_the_hands_by_little_and_change_smoothly(self, proficient, mixed):
        for observations, rows in (proficient, mixed):
            for arm in (0, 1):
                part = rows[:, 10 * arm : 10 * arm + 10]
                hand = np.array([observation.hands[arm].position for observation in observations[:-1]])
                assert np.linalg.norm(part[:, :3] - hand, axis=1).max() < 0.18
                assert np.quantile(np.linalg.norm(np.diff(part[:, :3], axis=0), axis=1), 0.98) < 0.06
                assert np.isfinite(row_to_action(part)).all()
                assert set(part[:, 9]) <= {-1.0, 1.0}


@pytest.mark.parametrize("arm", [0, 1])
def test_a_hand_on_its_way_sideways_keeps_off_its_base_and_ends_at_its_goal(arm):
    hand = TransportHand(arm, 0.08, 0.4)
    y = -0.45 * FACING[arm]  # on its own side of the middle
    hand.base, goal = np.array([0.2, y, 1.05]), np.array([-0.2, y, 1.0])
    off_base = []
    for x in (0.2, 0.0, -0.2):
        hand.position = np.array([x, y, 1.05])
        off_base.append(FACING[arm] * (hand.above(goal, ceiling=1.05, clear=0.98, rim=0.06)[1] - y))
    assert min(off_base[:2]) > 0.03
    assert off_base[2] == pytest.approx(0)


class TestVariety:
    def test_the_same_seed_commands_the_same_rows(self, env, proficient):
        observations, rows = proficient
        expert = TransportExpert(201, "proficient")
        again = np.array([expert.act(observation) for observation in observations[:40]])
        assert again.tobytes() == rows[:40].tobytes()

    def test_mixed_has_strategies_that_proficient_has_not(self):
        drawn = {
            grade: [TransportStyle.draw(np.random.default_rng(seed), grade) for seed in range(200)]
            for grade in ("proficient", "mixed")
        }
        for strategy in ("after_lid", "trash_other_way"):
            shares = {grade: np.mean([getattr(style, strategy) for style in styles]) for grade, styles in drawn.items()}
            assert shares["proficient"] == 0
            assert 0.15 < shares["mixed"] < 0.6
        assert not any(any(style.too_high) or style.pauses for style in drawn["proficient"])
        assert sum(any(style.too_high) for style in drawn["mixed"]) > 50

    def test_the_global_random_state_is_left_alone(self):
        before = np.random.get_state()[1].copy()
        TransportExpert(3, "mixed")
        assert np.array_equal(np.random.get_state()[1], before)

"""Push-T: the physics, seeds and observations of the demonstrations, and what a wrong row is told.

pusht_episode_6.npz is episode 6 of the Diffusion Policy project's 206 (Chi et al. 2023, MIT): action, state, keypoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("gym_pusht")

from sim.env import SimEnv  # noqa: E402
from sim.environments import make_env  # noqa: E402
from sim.pusht import PushTEnv, block_points, initial_state, rotation  # noqa: E402
from sim.pusht_replay import main, replay  # noqa: E402
from sim.rendering import CameraConfig  # noqa: E402

EPISODE = Path(__file__).with_name("pusht_episode_6.npz")
GOAL = (256, 256, np.pi / 4)
FAR = (50, 50)


@pytest.fixture(scope="module")
def env():
    env = make_env("PushT", CameraConfig(width=256, height=128))
    yield env
    env.close()


@pytest.fixture(scope="module")
def demonstrated():
    with np.load(EPISODE) as file:
        return {key: file[key].astype(float) for key in file.files}


def rewards(env, seed, steps=15):
    """Rewards and states of an episode that pushes towards the middle."""
    env.reset(seed)
    return [(env.step([256, 256]).reward, *env.state()) for _ in range(steps)]


class TestDemonstration:
    def test_its_actions_lead_where_they_led(self, env, demonstrated):
        found = replay(env, 6, demonstrated["state"], demonstrated["action"])
        assert max(found.agent, found.block) < 1e-3
        assert found.angle < 1e-5
        assert found.max_reward > 0.9

    def test_began_where_its_seed_puts_things(self, env, demonstrated):
        assert replay(env, 6, demonstrated["state"], demonstrated["action"]).seeded
        assert not replay(env, 7, demonstrated["state"], demonstrated["action"]).seeded

    def test_its_points_are_those_observed(self, demonstrated):
        observed = np.array([block_points(state[2:]) for state in demonstrated["state"]])
        off = np.abs(observed - demonstrated["keypoint"]).max(axis=(1, 2))
        assert np.median(off) < 1e-3
        assert off.max() < 1.0

    def test_the_command_line_judges_a_whole_file(self, tmp_path, demonstrated, capsys):
        arrays = {key: demonstrated[key] for key in ("action", "state")}
        np.savez(tmp_path / "one.npz", **arrays, episode_ends=np.array([69]))
        assert main(str(tmp_path / "one.npz")) == 0
        assert "1 episodes, 0 of them begin" in capsys.readouterr().out  # it is number 0 in this file
        arrays["state"][40:, 2] += 5
        np.savez(tmp_path / "two.npz", **arrays, episode_ends=np.array([69]))
        assert main(str(tmp_path / "two.npz")) == 1


class TestEpisode:
    def test_follows_from_its_seed_alone(self, env):
        first = rewards(env, 3)
        rewards(env, 4)
        other = PushTEnv()
        assert rewards(env, 3) == rewards(other, 3) == first
        assert rewards(env, 4) != first

    @given(st.integers(0, 2**32 - 1))
    def test_begins_within_the_reference_s_ranges(self, seed):
        agent_x, agent_y, block_x, block_y, _ = initial_state(seed)
        assert 50 <= min(agent_x, agent_y) <= max(agent_x, agent_y) < 450
        assert 100 <= min(block_x, block_y) <= max(block_x, block_y) < 400

    def test_the_angle_moves_a_block_that_was_put_there_before(self, env):
        env.reset_to([*FAR, 200, 300, np.pi])
        np.testing.assert_allclose(env.state()[2:4], [200, 390], atol=1e-6)  # half a turn about a point 45 below
        env.place_exactly([*FAR, 200, 300, np.pi])
        np.testing.assert_allclose(env.state()[2:4], [200, 300], atol=1e-6)

    def test_succeeds_where_the_block_covers_its_outline(self, env):
        env.place_exactly([*FAR, *GOAL])
        observation = env.step(FAR)
        assert (observation.reward, observation.success, observation.step) == (1.0, True, 1)
        env.place_exactly([*FAR, 100, 400, 0.0])
        observation = env.step(FAR)
        assert (observation.reward, observation.success) == (0.0, False)

    def test_reward_is_the_covered_part_over_0_95(self, env):
        # Moved along its stem by d, the T keeps 120 x (30 - d) of its bar and 30 x 90 of its stem, of 6300 in all.
        for d in (2.0, 10.0):
            x, y = np.array(GOAL[:2]) + rotation(GOAL[2]) @ [0, d]
            env.place_exactly([*FAR, x, y, GOAL[2]])
            covered = (120 * (30 - d) + 30 * 90) / 6300
            assert env.step(FAR).reward == pytest.approx(min(covered / 0.95, 1), abs=1e-6)

    def test_the_agent_goes_where_it_is_pulled(self, env):
        env.place_exactly([100, 100, 400, 400, 0.0])
        for _ in range(30):
            observation = env.step([150, 120])
        np.testing.assert_allclose(observation.features["agent_pos"], [150, 120], atol=0.1)
        assert observation.eef_position.tolist() == [*observation.features["agent_pos"], 0.0]

    def test_observes_points_then_agent_and_the_same_as_poses(self, env):
        observation = env.reset(11)
        assert [(name, len(values)) for name, values in observation.features.items()] == list(env.task.obs_keys)
        points = np.array([observation.objects[f"block_point_{i}"][0] for i in range(9)])
        np.testing.assert_array_equal(points[:, :2].ravel(), observation.features["keypoint"])
        position, (_, _, z, w) = observation.objects["block"]
        np.testing.assert_array_equal(position[:2], env.state()[2:4])
        assert 2 * np.arctan2(z, w) % (2 * np.pi) == pytest.approx(env.state()[4])
        assert set(env.task.objects) == set(observation.objects)


class TestPicture:
    def test_shows_outline_block_and_agent_at_their_places(self, env):
        env.place_exactly([60, 300, 400, 100, 0.0])
        rgb = env.images().rgb
        assert (rgb.shape, rgb.dtype) == ((128, 256, 3), np.uint8)

        def colour(x, y):
            return tuple(int(v) for v in rgb[round(y / 4), round(x / 2)])

        assert colour(60, 300) == (65, 105, 225)
        assert colour(400, 115) == (119, 136, 153)
        assert colour(*(np.array(GOAL[:2]) + rotation(GOAL[2]) @ [0, 60])) == (144, 238, 144)
        assert colour(150, 450) == (255, 255, 255)

    def test_shows_where_the_agent_is_pulled(self, env):
        env.place_exactly([60, 300, 400, 100, 0.0])
        before = env.images().rgb
        env.step([60, 300])
        changed = np.argwhere((env.images().rgb != before).any(-1))
        assert np.abs(changed - [75, 30]).max() < 8

    def test_has_no_depth_and_no_pinhole(self, env):
        images = env.images()
        assert np.isnan(images.depth).all()
        assert images.depth.shape == (128, 256)
        assert not images.K.any()

    def test_takes_a_camera(self):
        with pytest.raises(ValueError, match="has no camera"):
            PushTEnv().images()


class TestRefused:
    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_seeds(self, env, seed):
        with pytest.raises(ValueError, match=f"seed is {seed}, expected 0 to 4294967295"):
            env.reset(seed)

    @pytest.mark.parametrize(
        ("row", "told"),
        [([1, 2, 3], r"have shape \(1, 3\), expected \(R, 2\)"), ([np.nan, 2], r"non-finite numbers: \[nan  2.\]")],
    )
    def test_rows_move_nothing(self, env, row, told):
        env.reset(0)
        before = env.state()
        with pytest.raises(ValueError, match=told):
            env.step(row)
        np.testing.assert_array_equal(env.state(), before)

    def test_states(self, env):
        with pytest.raises(ValueError, match="expected five finite numbers"):
            env.reset_to([1, 2, 3, 4])


def test_each_task_has_the_environment_of_its_simulator():
    env = make_env("Lift")
    assert isinstance(env, SimEnv)
    env.close()
    with pytest.raises(ValueError, match="'Push' is unknown"):
        make_env("Push")

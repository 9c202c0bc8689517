"""Demonstrations: what is read, how windows are cut, and what a wrong file is told."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from psr_policy.dataset import (
    ARM_ACTION_NAMES,
    action_names,
    actions_to_rot6d,
    load_demonstrations,
    low_dim_keys,
    provenance,
    splits,
    unit_actions,
    windows,
)

KEYS = ("object", "robot0_eef_pos")


class TestLoad:
    def test_episodes_lie_end_to_end_in_number_order(self, tmp_path, write_demonstrations):
        path = write_demonstrations(tmp_path / "d.hdf5", lengths=range(3, 14), valid=(2,))
        data = load_demonstrations(path, KEYS)
        # demo_10 sorts before demo_2 as text.
        assert data.lengths == tuple(range(3, 14))
        assert data.obs.shape == (sum(range(3, 14)), 5)
        assert data.actions.shape == (len(data.obs), 10)
        assert data.obs.dtype == data.actions.dtype == torch.float32
        with h5py.File(path) as file:
            np.testing.assert_array_equal(data.obs[3:7, :3], file["data/demo_1/obs/object"][:].astype(np.float32))

    def test_columns_follow_the_order_of_the_keys(self, demos):
        data = load_demonstrations(demos, KEYS)
        swapped = load_demonstrations(demos, KEYS[::-1])
        assert data.obs_keys == (("object", 3), ("robot0_eef_pos", 2))
        assert swapped.obs_keys == (("robot0_eef_pos", 2), ("object", 3))
        assert torch.equal(swapped.obs, data.obs[:, [3, 4, 0, 1, 2]])

    def test_splits_part_the_episodes(self, demos):
        assert splits(demos) == ["train", "valid"]
        assert load_demonstrations(demos, KEYS, "train").lengths == (12, 9)
        assert load_demonstrations(demos, KEYS, "valid").lengths == (15,)

    def test_two_arms_have_twice_the_actions(self, tmp_path, write_demonstrations):
        data = load_demonstrations(write_demonstrations(tmp_path / "d.hdf5", arms=2), KEYS)
        assert data.actions.shape[1] == 20

    def test_every_arm_is_observed_unless_keys_are_named(self, tmp_path, write_demonstrations):
        one, two = (low_dim_keys(write_demonstrations(tmp_path / f"{arms}.hdf5", arms=arms)) for arms in (1, 2))
        assert one == ("object", "robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
        assert two == (*one, "robot1_eef_pos", "robot1_eef_quat", "robot1_gripper_qpos")

    def test_provenance_says_how_it_was_made(self, demos):
        assert provenance(demos) == {"expert": "random numbers"}

    def test_says_what_the_numbers_of_an_action_are(self, demos):
        data = load_demonstrations(demos, KEYS)
        assert data.action_names == ARM_ACTION_NAMES
        assert [data.action_names[i] for i in data.unit_actions] == [*(f"r{i}" for i in range(1, 7)), "gripper"]
        assert data.step_period == 0.05

    def test_episodes_picks_them_whole_and_in_the_order_asked(self, demos):
        data = load_demonstrations(demos, KEYS)
        picked = data.episodes([2, 0])
        assert picked.lengths == (15, 12)
        assert torch.equal(picked.obs, torch.cat([data.obs[21:], data.obs[:12]]))
        assert torch.equal(picked.actions, torch.cat([data.actions[21:], data.actions[:12]]))
        assert picked.obs_keys == data.obs_keys


class TestActions:
    def test_axis_angle_becomes_the_first_two_rows(self):
        quarter_turn = [0.1, 0.2, 0.3, 0, 0, np.pi / 2, 1]
        rotated = actions_to_rot6d(np.array([quarter_turn]))[0]
        np.testing.assert_allclose(rotated, [0.1, 0.2, 0.3, 0, -1, 0, 1, 0, 0, 1], atol=1e-12)

    def test_each_arm_on_its_own(self):
        actions = np.random.default_rng(0).uniform(-1, 1, (5, 14))
        both = actions_to_rot6d(actions)
        np.testing.assert_array_equal(both[:, :10], actions_to_rot6d(actions[:, :7]))
        np.testing.assert_array_equal(both[:, 10:], actions_to_rot6d(actions[:, 7:]))

    @given(st.tuples(*[st.floats(-3, 3)] * 3))
    def test_the_rows_are_those_of_the_rotation(self, axis_angle):
        rows = actions_to_rot6d(np.array([[0, 0, 0, *axis_angle, 0]]))[0, 3:9].reshape(2, 3)
        np.testing.assert_allclose(rows, Rotation.from_rotvec(axis_angle).as_matrix()[:2], atol=1e-12)

    def test_refuses_another_width(self):
        with pytest.raises(ValueError, match=r"shape \(4, 8\), expected \(N, 7\) or \(N, 14\)"):
            actions_to_rot6d(np.zeros((4, 8)))

    def test_names_tell_the_arms_apart(self):
        assert action_names(10)[:4] == ("x", "y", "z", "r1")
        assert action_names(20)[10] == "arm1_x"
        assert len(set(action_names(20))) == 20

    def test_every_arm_has_a_rotation_and_a_gripper_in_the_unit_range(self):
        assert unit_actions(20) == (*range(3, 10), *range(13, 20))


class TestWindows:
    def test_ends_are_padded_by_repeating(self, tiny_config):
        # Horizon 8, 2 observations, 4 actions: one row of padding in front, three behind.
        rows = windows([10], tiny_config())
        assert rows[0].tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
        assert rows[-1].tolist() == [5, 6, 7, 8, 9, 9, 9, 9]
        assert len(rows) == 7

    def test_an_episode_shorter_than_the_horizon_gives_a_window(self, tiny_config):
        assert windows([2], tiny_config())[0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]

    @given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    def test_none_crosses_from_one_episode_into_another(self, tiny_config, lengths):
        owner = np.repeat(np.arange(len(lengths)), lengths)
        rows = windows(lengths, tiny_config()).numpy()
        assert (owner[rows] == owner[rows[:, :1]]).all()
        assert set(owner[rows[:, 0]]) == set(range(len(lengths)))
        assert (np.diff(rows, axis=1) >= 0).all()
        assert (np.diff(rows, axis=1) <= 1).all()


class TestWrongFile:
    def edit(self, path, change) -> None:
        with h5py.File(path, "a") as file:
            change(file)

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no demonstrations at .*none.hdf5; record some"):
            load_demonstrations(tmp_path / "none.hdf5", KEYS)

    def test_not_hdf5(self, tmp_path):
        path = tmp_path / "text.hdf5"
        path.write_text("no HDF5")
        with pytest.raises(ValueError, match=r"text.hdf5 is not a readable HDF5 file"):
            load_demonstrations(path, KEYS)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda f: f.__delitem__("data"), "has no episodes under data/"),
            (lambda f: f.__delitem__("data/demo_1/actions"), r"data/demo_1 has no actions; .* object, robot0_eef_pos"),
            (lambda f: f.__delitem__("data/demo_1/obs/object"), "data/demo_1 has no obs/object; .* robot0_eef_pos"),
            (lambda f: f["data/demo_0"].attrs.__delitem__("num_samples"), "data/demo_0 has no attribute num_samples"),
            (lambda f: f["data/demo_0"].attrs.__setitem__("num_samples", 5), "has 12 rows, expected num_samples = 5"),
            (lambda f: f["data/demo_0/actions"].__setitem__((3, 0), np.nan), "actions holds NaN"),
            (lambda f: f["data/demo_0/obs/object"].__setitem__((3, 0), np.inf), "obs holds NaN or infinite"),
        ],
    )
    def test_names_file_and_field(self, demos, change, told):
        self.edit(demos, change)
        with pytest.raises(ValueError, match=f"demos.hdf5.*{told}"):
            load_demonstrations(demos, KEYS)

    def test_actions_that_are_not_seven_an_arm(self, demos):
        def change(file):
            del file["data/demo_2/actions"]
            file["data/demo_2/actions"] = np.zeros((15, 10))

        self.edit(demos, change)
        with pytest.raises(ValueError, match=r"data/demo_2: actions has shape \(15, 10\)"):
            load_demonstrations(demos, KEYS)

    def test_a_split_that_is_not_there_or_empty(self, demos):
        with pytest.raises(ValueError, match="has no mask/test; it has: train, valid"):
            load_demonstrations(demos, KEYS, "test")
        self.edit(demos, lambda f: f.create_dataset("mask/test", data=np.array([], dtype="S8")))
        with pytest.raises(ValueError, match="mask/test lists no episode"):
            load_demonstrations(demos, KEYS, "test")
        self.edit(demos, lambda f: f.create_dataset("mask/more", data=np.array(["demo_9"], dtype="S8")))
        with pytest.raises(ValueError, match="mask/more lists demo_9, which is not under data/"):
            load_demonstrations(demos, KEYS, "more")

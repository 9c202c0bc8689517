"""Push-T's demonstrations: what is read, what is held out, and what a wrong file is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_policy.normalizer import Normalizer
from psr_policy.pusht_data import held_out, is_pusht, load_pusht
from tests.psr_policy.conftest import pusht_arrays


@pytest.fixture
def write(tmp_path):
    """Writes a file of random demonstrations, each array given by name replacing one (None: left out)."""

    def write(**changes):
        arrays = {key: array for key, array in {**pusht_arrays(), **changes}.items() if array is not None}
        np.savez(tmp_path / "pusht.npz", **arrays)
        return tmp_path / "pusht.npz"

    return write


class TestLoad:
    def test_observes_the_points_in_order_and_then_the_agent(self, write):
        arrays = pusht_arrays()
        data = load_pusht(write())
        assert data.obs_keys == (("keypoint", 18), ("agent_pos", 2))
        assert data.obs[4].tolist() == [*arrays["keypoint"][4].ravel().tolist(), *arrays["state"][4, :2].tolist()]
        np.testing.assert_array_equal(data.actions, arrays["action"])
        assert data.obs.dtype == data.actions.dtype == torch.float32

    def test_says_what_an_action_is(self, write):
        data = load_pusht(write())
        assert (data.action_names, data.step_period, data.unit_actions) == (("x", "y"), 0.1, ())
        assert data.lengths == (7, 12, 5, 9)

    def test_columns_follow_the_order_of_the_keys(self, write):
        path = write()
        swapped = load_pusht(path, ("agent_pos", "keypoint"))
        assert swapped.obs_keys == (("agent_pos", 2), ("keypoint", 18))
        assert torch.equal(swapped.obs[:, 2:], load_pusht(path).obs[:, :18])
        with pytest.raises(ValueError, match=r"pusht.npz has no observation colour; expected some of: keypoint, agent"):
            load_pusht(path, ("agent_pos", "colour"))

    def test_contacts_may_be_missing(self, write):
        assert load_pusht(write(n_contacts=None)).lengths == (7, 12, 5, 9)

    def test_numbers_of_another_kind_become_single_precision(self, write):
        actions = pusht_arrays()["action"].astype(np.int64)
        assert torch.equal(load_pusht(write(action=actions)).actions, torch.from_numpy(actions.astype(np.float32)))

    def test_normalised_it_fills_the_range_in_every_dimension(self, write):
        data = load_pusht(write())
        normalizer = Normalizer(20, 2)
        normalizer.fit(data.obs, data.actions, unit_actions=data.unit_actions)
        for field, raw in ((normalizer.obs, data.obs), (normalizer.action, data.actions)):
            out = field.normalize(raw)
            torch.testing.assert_close(out.amin(0), -torch.ones(raw.shape[1]))
            torch.testing.assert_close(out.amax(0), torch.ones(raw.shape[1]))


class TestHeldOut:
    @given(st.integers(2, 300), st.integers(0, 5))
    def test_is_a_twentieth_but_never_none_or_all(self, episodes, seed):
        numbers = held_out(episodes, seed)
        assert len(set(numbers)) == len(numbers) == max(1, round(episodes / 20))
        assert set(numbers) < set(range(episodes))
        assert numbers == held_out(episodes, seed)

    def test_follows_the_seed(self):
        assert held_out(206, 0) != held_out(206, 1)

    def test_one_episode_is_kept_to_learn_from(self):
        assert held_out(1, 0) == ()


class TestWrongFile:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"keypoint": None}, "no array keypoint; it has: action, episode_ends, n_contacts, state"),
            ({"keypoint": None, "action": None}, "no array action, keypoint"),
            ({"action": np.zeros((33, 3))}, r"action has shape \(33, 3\), expected \(33, as action has, 2\)"),
            ({"action": np.zeros((0, 2))}, r"action has shape \(0, 2\), expected \(steps >= 1, 2\)"),
            ({"state": np.zeros((32, 5))}, r"state has shape \(32, 5\), expected \(33, as action has, 5\)"),
            ({"keypoint": np.zeros((33, 18))}, r"keypoint has shape \(33, 18\), expected \(33, as action has, 9, 2\)"),
            ({"state": np.full((33, 5), "x")}, "state has type <U1, expected numbers"),
            ({"state": np.full((33, 5), None)}, "Object arrays cannot be loaded"),
            (
                {"state": np.insert(np.zeros((32, 5)), 6, np.nan, axis=0)},
                "state holds NaN or infinite numbers in row 6",
            ),
            ({"episode_ends": np.array([7, 19, 19, 33])}, r"episode_ends\[2\] is 19, expected more than 19"),
            ({"episode_ends": np.array([0, 33])}, r"episode_ends\[0\] is 0, expected more than 0"),
            ({"episode_ends": np.array([7, 32])}, "episode_ends ends with 32, expected the number of steps, 33"),
            ({"episode_ends": np.array([7.0, 33.0])}, "episode_ends has shape .* and type float64"),
            ({"episode_ends": np.array([], int)}, r"episode_ends has shape \(0,\)"),
        ],
    )
    def test_names_file_and_array(self, write, changes, told):
        with pytest.raises(ValueError, match=f"pusht.npz.*{told}"):
            load_pusht(write(**changes))

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no demonstrations at .*none.npz"):
            load_pusht(tmp_path / "none.npz")

    def test_damaged(self, write):
        path = write()
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match=r"pusht.npz is not a readable .npz archive"):
            load_pusht(path)

    def test_a_zarr_folder_is_told_how_to_become_a_file(self, tmp_path):
        folder = tmp_path / "replay.zarr"
        folder.mkdir()
        (folder / ".zgroup").write_text("{}")
        assert is_pusht(folder)
        with pytest.raises(ValueError, match=r"replay.zarr is a zarr folder; .* Convert it once.*FOLDER FILE.npz"):
            load_pusht(folder)

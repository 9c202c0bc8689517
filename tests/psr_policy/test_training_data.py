"""Training data: told apart by form, parted into what is learned from and what is held out, and accounted for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from psr_policy.dataset import load_demonstrations
from psr_policy.pusht_data import held_out, load_pusht
from psr_policy.training_data import load_training_data
from tests.psr_policy.conftest import pusht_arrays

KEYS = ("object", "robot0_eef_pos")


@pytest.fixture
def pusht(tmp_path):
    np.savez(tmp_path / "pusht.npz", **pusht_arrays(range(3, 33)))
    return tmp_path / "pusht.npz"


def test_an_hdf5_file_says_itself_what_is_held_out(demos):
    data = load_training_data(demos, KEYS)
    assert torch.equal(data.train.obs, load_demonstrations(demos, KEYS, "train").obs)
    assert torch.equal(data.valid.obs, load_demonstrations(demos, KEYS, "valid").obs)
    sha256 = hashlib.sha256(demos.read_bytes()).hexdigest()
    assert data.card == {
        "file": "demos.hdf5", "sha256": sha256, "expert": "random numbers", "train_episodes": 2, "valid_episodes": 1
    }  # fmt: skip


def test_pusht_episodes_are_held_out_by_seed(pusht):
    data, whole = load_training_data(pusht, seed=3), load_pusht(pusht)
    numbers = held_out(30, 3)
    assert data.valid.lengths == tuple(3 + number for number in numbers)
    assert sorted([*data.train.lengths, *data.valid.lengths]) == sorted(whole.lengths)
    assert torch.equal(data.valid.obs, whole.episodes(numbers).obs)
    assert data.card["sha256"] == hashlib.sha256(pusht.read_bytes()).hexdigest()
    assert data.card["task"] == "PushT"
    assert (data.card["valid_numbers"], data.card["train_episodes"], data.card["valid_episodes"]) == ([*numbers], 28, 2)


def test_one_episode_leaves_none_to_judge_by(tmp_path):
    np.savez(tmp_path / "pusht.npz", **pusht_arrays([20]))
    data = load_training_data(tmp_path / "pusht.npz")
    assert (data.train.lengths, data.valid) == ((20,), None)


def test_another_form_is_refused_by_name(tmp_path):
    (tmp_path / "pusht.csv").write_text("x,y")
    with pytest.raises(ValueError, match=r"pusht.csv is not a readable HDF5 file"):
        load_training_data(tmp_path / "pusht.csv")

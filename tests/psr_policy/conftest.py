"""Small policies and demonstrations to test with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from psr_policy.config import PolicyConfig, TransformerOptions, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES, unit_actions
from psr_policy.policy import DiffusionPolicy

OBS_KEYS = (("object", 3), ("robot0_eef_pos", 2))
TINY = {
    "unet": UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3),
    "transformer": TransformerOptions(n_layer=1, n_head=2, n_emb=8),
}


def tiny_config(network: str = "unet", **changes: Any) -> PolicyConfig:
    """A policy for 5 observed numbers and one arm, of a few thousand weights, 20 training timesteps."""
    fields: dict[str, Any] = {
        "network": network,
        "obs_keys": OBS_KEYS,
        "action_dim": 10,
        "action_names": ARM_ACTION_NAMES,
        "horizon": 8,
        "n_action_steps": 4,
        "num_train_timesteps": 20,
        "network_options": TINY.get(network),
    }
    return PolicyConfig(**{**fields, **changes})


def tiny_policy(network: str = "unet", seed: int = 0, **changes: Any) -> DiffusionPolicy:
    """A tiny_config policy with random weights, its normaliser fitted to random data."""
    torch.manual_seed(seed)
    policy = DiffusionPolicy(tiny_config(network, **changes)).eval()
    dims = policy.config.obs_dim, policy.config.action_dim
    obs, actions = torch.randn(50, dims[0]), torch.rand(50, dims[1]) * 2 - 1
    policy.normalizer.fit(obs, actions, unit_actions=unit_actions(dims[1]))
    return policy


def write_demos(
    path: Path, lengths: Sequence[int] = (12, 9, 15), valid: Sequence[int] = (2,), seed: int = 0, arms: int = 1
) -> Path:
    """A robomimic HDF5 file of random episodes with the observations of OBS_KEYS and absolute actions."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["expert"] = "random numbers"
        for i, length in enumerate(lengths):
            episode = file.create_group(f"data/demo_{i}")
            episode.attrs["num_samples"] = length
            episode["actions"] = rng.uniform(-1, 1, (length, 7 * arms))
            for name, dim in OBS_KEYS:
                episode[f"obs/{name}"] = rng.normal(size=(length, dim))
        names = {"train": [i for i in range(len(lengths)) if i not in valid], "valid": list(valid)}
        for split, numbers in names.items():
            file[f"mask/{split}"] = np.array([f"demo_{i}" for i in numbers], dtype="S")
    return path


@pytest.fixture(scope="session", name="tiny_config")
def tiny_config_fixture() -> Callable[..., PolicyConfig]:
    return tiny_config


@pytest.fixture(scope="session", name="tiny_policy")
def tiny_policy_fixture() -> Callable[..., DiffusionPolicy]:
    return tiny_policy


@pytest.fixture(scope="session")
def write_demonstrations() -> Callable[..., Path]:
    return write_demos


def pusht_arrays(lengths: Sequence[int] = (7, 12, 5, 9), seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers in the form of the Push-T demonstrations."""
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    return {
        "action": rng.uniform(12, 511, (steps, 2)).astype(np.float32),
        "state": rng.uniform(0, 512, (steps, 5)).astype(np.float32),
        "keypoint": rng.uniform(0, 512, (steps, 9, 2)).astype(np.float32),
        "n_contacts": np.zeros((steps, 1), np.float32),
        "episode_ends": np.cumsum(lengths),
    }


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    return write_demos(tmp_path / "demos.hdf5")

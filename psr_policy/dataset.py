"""Demonstrations wholly in memory, from a robomimic HDF5 file, and the windows that training cuts from them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from psr_core.rotations import Array, axis_angle_to_matrix, matrix_to_rot6d
from psr_policy.action_convention import check_absolute
from psr_policy.config import PolicyConfig

HAND_KEYS = ("eef_pos", "eef_quat", "gripper_qpos")
MADE_BY = ("task", "grade", "expert", "command", "git_revision", "action_convention")
ARM_ACTION_NAMES = ("x", "y", "z", "r1", "r2", "r3", "r4", "r5", "r6", "gripper")
ARM_UNIT_ACTIONS = (3, 4, 5, 6, 7, 8, 9)
STEP_PERIOD = 0.05  # s, robomimic's 20 Hz


@dataclass(frozen=True)
class Demonstrations:
    """Episodes laid end to end.

    obs_keys: (name, dimension) in the order of the columns of obs. obs (N, Do), actions (N, Da), float32, raw units,
    N steps in all, step_period seconds apart. lengths: steps of each episode, in the order of the rows.
    action_names: one for each column of actions; unit_actions: the columns that lie in [-1, 1] by their meaning.
    """

    obs_keys: tuple[tuple[str, int], ...]
    obs: Tensor
    actions: Tensor
    lengths: tuple[int, ...]
    action_names: tuple[str, ...]
    step_period: float
    unit_actions: tuple[int, ...] = ()

    def episodes(self, numbers: Sequence[int]) -> Demonstrations:
        """The episodes of these numbers, at least one, in this order."""
        obs, actions = (torch.split(rows, list(self.lengths)) for rows in (self.obs, self.actions))
        return replace(
            self,
            obs=torch.cat([obs[number] for number in numbers]),
            actions=torch.cat([actions[number] for number in numbers]),
            lengths=tuple(self.lengths[number] for number in numbers),
        )


def load_demonstrations(path: Path | str, obs_keys: Sequence[str], split: str | None = None) -> Demonstrations:
    """Reads the episodes of a robomimic HDF5 file whose actions are absolute poses (7 numbers an arm).

    obs_keys: low-dimensional observations, in the order a policy will see them. split: name of a list of episodes under
    `mask/` ("train", "valid"), None for all. Actions become 10 numbers an arm (see actions_to_rot6d).
    Raises FileNotFoundError, or ValueError naming the file and the field.
    """
    path = Path(path)
    _check_file(path, obs_keys, split)
    cache = _read_with_robomimic(path, obs_keys, split)
    episodes = list(cache.values())
    columns = [np.concatenate([e["obs"][key] for e in episodes]) for key in obs_keys]
    columns = [c.reshape(len(c), -1) for c in columns]
    obs = np.concatenate(columns, axis=1).astype(np.float32)
    actions = actions_to_rot6d(np.concatenate([e["actions"] for e in episodes])).astype(np.float32)
    for name, array in (("obs", obs), ("actions", actions)):
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} holds NaN or infinite numbers; record the demonstrations again")
    return Demonstrations(
        obs_keys=tuple((key, column.shape[1]) for key, column in zip(obs_keys, columns, strict=True)),
        obs=torch.from_numpy(obs),
        actions=torch.from_numpy(actions),
        lengths=tuple(len(e["actions"]) for e in episodes),
        action_names=action_names(actions.shape[1]),
        step_period=STEP_PERIOD,
        unit_actions=unit_actions(actions.shape[1]),
    )


def low_dim_keys(path: Path | str) -> tuple[str, ...]:
    """`object` and every arm's hand: the reference's observations, in its order. Raises as load_demonstrations does."""
    with _open(Path(path)) as file:
        actions = [episode["actions"] for episode in file.get("data", {}).values() if "actions" in episode]
        arms = max(1, actions[0].shape[-1] // 7) if actions else 1
    return ("object", *(f"robot{arm}_{key}" for arm in range(arms) for key in HAND_KEYS))


def splits(path: Path | str) -> list[str]:
    """Names of the lists of episodes (`mask/...`) in a robomimic HDF5 file. Raises as load_demonstrations does."""
    with _open(Path(path)) as file:
        return sorted(file.get("mask", {}))


def provenance(path: Path | str) -> dict[str, str]:
    """What a robomimic HDF5 file says of its making."""
    with h5py.File(path, "r") as file:
        return {name: str(file["data"].attrs[name]) for name in MADE_BY if name in file["data"].attrs}


def actions_to_rot6d(actions: Array) -> Array:
    """robomimic's absolute actions (N, 7 per arm) -> (N, 10 per arm) float64.

    7: position 3 (m), axis times angle 3 (rad), gripper 1. 10: position 3, first two rows of the rotation matrix 6,
    gripper 1. Raises ValueError on another width.
    """
    if actions.ndim != 2 or actions.shape[1] == 0 or actions.shape[1] % 7:
        raise ValueError(f"actions have shape {actions.shape}, expected (N, 7) or (N, 14): 7 numbers for each arm")
    arms = actions.reshape(len(actions), -1, 7).astype(np.float64)
    rotation = matrix_to_rot6d(axis_angle_to_matrix(arms[..., 3:6]))
    converted: Array = np.concatenate([arms[..., :3], rotation, arms[..., 6:]], axis=-1).reshape(len(actions), -1)
    return converted


def action_names(action_dim: int) -> tuple[str, ...]:
    """Names of the numbers of an action: x, y, z, r1 .. r6, gripper; with several arms prefixed arm0_, arm1_."""
    arms = action_dim // len(ARM_ACTION_NAMES)
    if arms == 1:
        return ARM_ACTION_NAMES
    return tuple(f"arm{arm}_{name}" for arm in range(arms) for name in ARM_ACTION_NAMES)


def unit_actions(action_dim: int) -> tuple[int, ...]:
    """Columns of such an action that are rotation or gripper: numbers in [-1, 1] by their meaning."""
    size = len(ARM_ACTION_NAMES)
    return tuple(arm * size + column for arm in range(action_dim // size) for column in ARM_UNIT_ACTIONS)


def windows(lengths: Sequence[int], config: PolicyConfig) -> Tensor:
    """Row indices of every training window, (W, horizon) int64, into Demonstrations.obs and .actions.

    A window may begin n_obs_steps - 1 before an episode and end n_action_steps - 1 after it; there the episode's first
    and last row stand in (as the reference pads).
    """
    found = []
    start = 0
    for length in lengths:
        first = -(config.n_obs_steps - 1)
        last = max(first, length - config.horizon + config.n_action_steps - 1)
        steps = torch.arange(first, last + 1)[:, None] + torch.arange(config.horizon)[None]
        found.append(start + steps.clamp(0, length - 1))
        start += length
    return torch.cat(found)


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise FileNotFoundError(f"no demonstrations at {path}; record some with `psr demos`")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is not a readable HDF5 file ({error}); record the demonstrations again") from error


def _check_file(path: Path, obs_keys: Sequence[str], split: str | None) -> None:
    """robomimic fills a missing `actions` with zeros and fails on the rest without naming the file: look first."""
    with _open(path) as file:
        if "data" not in file or not len(file["data"]):
            raise ValueError(f"{path} has no episodes under data/; expected robomimic's data/demo_0, data/demo_1, ...")
        names = list(file["data"])
        if split is not None:
            lists = sorted(file.get("mask", {}))
            if split not in lists:
                raise ValueError(f"{path} has no mask/{split}; it has: {', '.join(lists) or 'no mask at all'}")
            names = [name.decode() for name in file[f"mask/{split}"][:]]
            if not names:
                raise ValueError(f"{path}: mask/{split} lists no episode; expected at least one")
        for name in names:
            if name not in file["data"]:
                raise ValueError(f"{path}: mask/{split} lists {name}, which is not under data/")
            _check_episode(path, file[f"data/{name}"], obs_keys)
        check_absolute(f"{path}: data/{names[0]}", file[f"data/{names[0]}"])


def _check_episode(path: Path, episode: Any, obs_keys: Sequence[str]) -> None:
    where = f"{path}: {episode.name[1:]}"
    if "num_samples" not in episode.attrs:
        raise ValueError(f"{where} has no attribute num_samples; expected its number of steps")
    steps = int(episode.attrs["num_samples"])
    for field in ("actions", *(f"obs/{key}" for key in obs_keys)):
        if field not in episode:
            present = ", ".join(sorted(episode.get("obs", {})))
            raise ValueError(f"{where} has no {field}; its observations are: {present or 'none'}")
        if len(episode[field]) != steps:
            raise ValueError(f"{where}: {field} has {len(episode[field])} rows, expected num_samples = {steps}")
    if steps < 1 or episode["actions"].ndim != 2 or episode["actions"].shape[1] % 7:
        expected = "(steps >= 1, 7 for each arm)"
        raise ValueError(f"{where}: actions has shape {episode['actions'].shape}, expected {expected}")


def _read_with_robomimic(path: Path, obs_keys: Sequence[str], split: str | None) -> dict[str, Any]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        from robomimic.utils import obs_utils
        from robomimic.utils.dataset import SequenceDataset

        obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": list(obs_keys)}})
        dataset = SequenceDataset(
            hdf5_path=str(path),
            obs_keys=list(obs_keys),
            dataset_keys=("actions",),
            hdf5_cache_mode="low_dim",
            hdf5_use_swmr=False,
            filter_by_attribute=split,
            load_next_obs=False,
        )
    cache: dict[str, Any] = dataset.hdf5_cache
    return cache

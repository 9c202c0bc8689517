"""Demonstrations of Push-T from the Diffusion Policy project's arrays (Chi et al. 2023), as one .npz file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from psr_policy.dataset import Demonstrations

OBS_KEYS = ("keypoint", "agent_pos")
ACTION_NAMES = ("x", "y")
STEP_PERIOD = 0.1  # s
# What follows the number of steps in each array's shape.
SHAPES: dict[str, tuple[int, ...]] = {"action": (2,), "state": (5,), "keypoint": (9, 2)}
ENDS = "episode_ends"
VALID_SHARE = 0.05
CONVERT = (
    "it is compressed with Blosc, which takes the package zarr to read. Convert it once, where zarr is installed: "
    "python -c \"import sys, numpy, zarr; g = zarr.open(sys.argv[1], mode='r'); numpy.savez_compressed(sys.argv[2], "
    "**{k: g['data'][k][:] for k in ('action', 'state', 'keypoint')}, episode_ends=g['meta']['episode_ends'][:])\" "
    "FOLDER FILE.npz"
)
Array = NDArray[Any]


def is_pusht(path: Path) -> bool:
    """Whether this is a .npz file or a zarr folder."""
    return path.suffix == ".npz" or any((path / name).is_file() for name in (".zgroup", "zarr.json"))


def load_pusht(path: Path | str, obs_keys: Sequence[str] = OBS_KEYS) -> Demonstrations:
    """Every episode of a .npz file with the arrays action (N, 2), state (N, 5: agent x, y, block x, y, angle),
    keypoint (N, 9, 2) and episode_ends (E,), in pixels, 10 steps a second.

    obs_keys: "keypoint" (18 numbers: x, y of each point) and "agent_pos" (2), in the order a policy will see them.
    Raises FileNotFoundError, or ValueError naming the file, the array, its value and what was expected.
    """
    path = Path(path)
    arrays = _read(path)
    lengths = _lengths(path, arrays)
    columns = {"keypoint": arrays["keypoint"].reshape(len(arrays["keypoint"]), -1), "agent_pos": arrays["state"][:, :2]}
    if unknown := [key for key in obs_keys if key not in columns]:
        raise ValueError(f"{path} has no observation {', '.join(unknown)}; expected some of: {', '.join(columns)}")
    obs = np.concatenate([columns[key] for key in obs_keys], axis=1)
    return Demonstrations(
        obs_keys=tuple((key, columns[key].shape[1]) for key in obs_keys),
        obs=torch.from_numpy(obs.astype(np.float32)),
        actions=torch.from_numpy(arrays["action"].astype(np.float32)),
        lengths=lengths,
        action_names=ACTION_NAMES,
        step_period=STEP_PERIOD,
    )


def held_out(episodes: int, seed: int) -> tuple[int, ...]:
    """Numbers of the episodes to judge by, in order: a twentieth of them, at least one of two or more."""
    count = max(1, round(VALID_SHARE * episodes)) if episodes > 1 else 0
    chosen = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return tuple(sorted(int(number) for number in chosen))


def _read(path: Path) -> dict[str, Array]:
    if path.is_dir():
        raise ValueError(f"{path} is a zarr folder; {CONVERT}")
    if not path.is_file():
        raise FileNotFoundError(f"no demonstrations at {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a readable .npz archive; copy it again")
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in (*SHAPES, ENDS) if key not in file.files]:
                present = ", ".join(sorted(file.files)) or "nothing"
                raise ValueError(f"no array {', '.join(missing)}; it has: {present}")
            arrays: dict[str, Array] = {key: file[key] for key in (*SHAPES, ENDS)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error
    return arrays


def _lengths(path: Path, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    """Steps of each episode, once every array is what it should be."""
    steps = len(arrays["action"]) if arrays["action"].ndim else 0
    for key, shape in SHAPES.items():
        array = arrays[key]
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {key} has type {array.dtype}, expected numbers")
        if array.shape != (steps, *shape) or not steps:
            rows = f"{steps}, as action has" if steps else "steps >= 1"
            raise ValueError(f"{path}: {key} has shape {array.shape}, expected ({', '.join(map(str, (rows, *shape)))})")
        finite = np.isfinite(array).reshape(steps, -1).all(axis=1)
        if not finite.all():
            raise ValueError(f"{path}: {key} holds NaN or infinite numbers in row {int(np.argmin(finite))}")
    ends = arrays[ENDS]
    if ends.ndim != 1 or not len(ends) or ends.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: {ENDS} has shape {ends.shape} and type {ends.dtype}, expected (episodes >= 1,) integers"
        )
    lengths = np.diff(ends.astype(np.int64), prepend=0)
    if (lengths < 1).any():
        number = int(np.argmax(lengths < 1))
        before = ends[number - 1] if number else 0
        raise ValueError(f"{path}: {ENDS}[{number}] is {ends[number]}, expected more than {before}, where it begins")
    if ends[-1] != steps:
        raise ValueError(f"{path}: {ENDS} ends with {ends[-1]}, expected the number of steps, {steps}")
    return tuple(int(length) for length in lengths)

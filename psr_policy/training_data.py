"""What a policy is trained on and judged by, whichever form the demonstrations are stored in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psr_core.files import file_sha256
from psr_policy import dataset, pusht_data
from psr_policy.dataset import Demonstrations


@dataclass(frozen=True)
class TrainingData:
    """Demonstrations to learn from, those held out to judge by (None without any), and the entry for the card."""

    train: Demonstrations
    valid: Demonstrations | None
    card: dict[str, Any]


def load_training_data(path: Path | str, obs_keys: Sequence[str] | None = None, seed: int = 0) -> TrainingData:
    """Reads robomimic's HDF5 (see load_demonstrations) or Push-T's .npz (see load_pusht), told apart by content.

    obs_keys: None for the form's own. An HDF5 file says which episodes are held out; of Push-T's, seed chooses them.
    Raises FileNotFoundError, or ValueError naming the file and the field.
    """
    path = Path(path)
    load = _from_pusht if pusht_data.is_pusht(path) else _from_robomimic
    train, valid, said = load(path, obs_keys, seed)
    counts = {"train_episodes": len(train.lengths), "valid_episodes": len(valid.lengths) if valid else 0}
    return TrainingData(train, valid, {"file": path.name, "sha256": file_sha256(path), **said, **counts})


def _from_robomimic(
    path: Path, obs_keys: Sequence[str] | None, seed: int
) -> tuple[Demonstrations, Demonstrations | None, dict[str, Any]]:
    keys = obs_keys or dataset.low_dim_keys(path)
    present = dataset.splits(path)
    train = dataset.load_demonstrations(path, keys, "train" if "train" in present else None)
    valid = dataset.load_demonstrations(path, keys, "valid") if {"train", "valid"} <= set(present) else None
    return train, valid, dataset.provenance(path)


def _from_pusht(
    path: Path, obs_keys: Sequence[str] | None, seed: int
) -> tuple[Demonstrations, Demonstrations | None, dict[str, Any]]:
    everything = pusht_data.load_pusht(path, obs_keys or pusht_data.OBS_KEYS)
    numbers = pusht_data.held_out(len(everything.lengths), seed)
    kept = [number for number in range(len(everything.lengths)) if number not in numbers]
    valid = everything.episodes(numbers) if numbers else None
    return everything.episodes(kept), valid, {"task": "PushT", "valid_numbers": list(numbers)}

"""A foreign checkpoint in neutral terms, and its way into the native form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psr_core.model_folder import misfits
from psr_policy.config import PolicyConfig
from psr_policy.policy import DiffusionPolicy

# A scale so small that every number a sensor gives disappears beside the offset.
VANISHING = 2.0**-100


@dataclass(frozen=True)
class ForeignCheckpoint:
    """What an importer read from a file or folder.

    format: name of the importer; source: file or folder; config: as PolicyConfig.from_dict takes it; weights: tensors
    under the names of the native network (without "model."); normalizer: "obs" and "action" -> the buffers of a
    LinearField, (D,) float32; origin: what the file says of its making, plain JSON values; notes: what whoever uses the
    policy should know.
    """

    format: str
    source: Path
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    normalizer: Mapping[str, Mapping[str, Tensor]]
    origin: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def to_native(foreign: ForeignCheckpoint) -> DiffusionPolicy:
    """The policy, ready to sample.

    Raises ValueError naming the source and the field or tensor that does not fit, is missing or is not finite.
    """
    try:
        config = PolicyConfig.from_dict(foreign.config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{foreign.source}: {error}") from error
    tensors = {f"model.{name}": tensor for name, tensor in foreign.weights.items()}
    for kind, buffers in foreign.normalizer.items():
        tensors.update({f"normalizer.{kind}.{name}": tensor for name, tensor in buffers.items()})
    policy = DiffusionPolicy(config)
    _check(foreign.source, policy.state_dict(), tensors)
    policy.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    for kind in ("obs", "action"):
        if problem := getattr(policy.normalizer, kind).problem():
            raise ValueError(f"{foreign.source}: normaliser of {kind}: {problem}; expected statistics of the data")
    return policy.eval()


def renamed(
    foreign: ForeignCheckpoint,
    obs_keys: tuple[tuple[str, int], ...] | None = None,
    action_names: tuple[str, ...] | None = None,
    step_period: float | None = None,
) -> ForeignCheckpoint:
    """The checkpoint with names or a step period (s) of one's own in place of the file's.

    Raises ValueError when obs_keys (name, size) or action_names do not cover the numbers the file's policy takes.
    """
    config, notes = dict(foreign.config), foreign.notes
    if obs_keys is not None:
        given, needed = sum(size for _, size in obs_keys), sum(size for _, size in config["obs_keys"])
        if given != needed:
            raise ValueError(f"obs keys name {given} numbers, but one observation of {foreign.source} has {needed}")
        config["obs_keys"] = obs_keys
    if action_names is not None:
        if len(action_names) != config["action_dim"]:
            given, needed = len(action_names), config["action_dim"]
            raise ValueError(f"{given} action names, but one action of {foreign.source} has {needed} numbers")
        config["action_names"] = action_names
    if step_period is not None:
        config["step_period"] = step_period
        notes = tuple(note for note in notes if note != STEP_PERIOD_UNKNOWN)
    return replace(foreign, config=config, notes=notes)


STEP_PERIOD_UNKNOWN = (
    f"the file does not say how long a control step lasts: {PolicyConfig.step_period} s was assumed; "
    "--step-period sets it"
)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, free of the file they are mapped from."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def linear(scale: Tensor, offset: Tensor, statistics: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The buffers of a LinearField, normalised = raw * scale + offset, from double precision (D,).

    statistics: min, max, mean and std of the data; for those that are missing stands what the normalised numbers -1, 1,
    0 and (for std, as a width) 1 mean in raw units.
    """
    ends = ((torch.tensor(end) - offset) / scale for end in (-1.0, 1.0))
    low, high = torch.stack(list(ends)).sort(dim=0).values
    stand_ins = {"min": low, "max": high, "mean": -offset / scale, "std": 1 / scale.abs()}
    buffers = {"scale": scale, "offset": offset, **stand_ins, **(statistics or {})}
    return {name: tensor.to(torch.float32) for name, tensor in buffers.items()}


def numbered(name: str, count: int) -> tuple[str, ...]:
    """Names for numbers that have none: action_0, action_1, ..."""
    return tuple(f"{name}_{i}" for i in range(count))


def _check(source: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if faults := misfits(expected, found):
        raise ValueError(f"{source}: weights do not fit the configuration beside them: {faults}")
    for name, tensor in found.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{source}: {name} has type {tensor.dtype}, expected floating-point numbers")
        if not tensor.isfinite().all():
            raise ValueError(f"{source}: {name} holds NaN or infinite numbers; use a checkpoint from before that")

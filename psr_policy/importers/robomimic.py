"""Checkpoints (`.pth`) of robomimic's diffusion policy (ARISE-Initiative/robomimic, MIT), low-dimensional observations.

A file holds `model` (nets, ema, ...), `config` (JSON), `algo_name`, `shape_metadata` and, where used, normalisation
statistics. robomimic builds its ConditionalUnet1D with default sizes whatever `algo.unet` says, so that sizes are read
from the weights; it has no transformer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psr_policy.importers.fields import Fields, noise_schedule
from psr_policy.importers.foreign import STEP_PERIOD_UNKNOWN, ForeignCheckpoint, copied, linear, numbered

LABEL = "robomimic diffusion policy"
_PREFIX = "policy.noise_pred_net."
_N_GROUPS = 8  # robomimic's network has no other


def recognises(payload: Any) -> bool:
    """Whether what safe_pickle.load returned is of this format."""
    return isinstance(payload, Mapping) and {"model", "config", "algo_name"} <= set(payload)


def read(path: Path, payload: Mapping[str, Any]) -> ForeignCheckpoint:
    """The policy of a checkpoint that safe_pickle.load returned.

    Raises ValueError naming the file, the field and its value when something is missing or cannot be represented.
    """
    file = Fields(path, "file", payload)
    file.expect("algo_name", "diffusion_policy")
    config = _config(path, payload)
    config.expect("algo.unet.enabled", True, why="robomimic has no other diffusion network")
    config.expect("algo.language_conditioned", False, False)
    weights = _weights(file, config)
    obs_keys, action_keys = _obs_keys(file, config), _action_keys(file, config)
    action_dim = sum(size for _, size in action_keys)
    notes = ["the limits of the actions are what the normalised range [-1, 1] means: the file has no others"]
    if payload.get("obs_normalization_stats") is None:
        notes.append("observations are not normalised, and the file has no statistics of them: -1 to 1 stands for both")
    notes += _rotations(config, action_keys)
    period = _step_period(file)
    if period is None:
        notes.append(STEP_PERIOD_UNKNOWN)
    return ForeignCheckpoint(
        "robomimic",
        path,
        {
            "network": "unet",
            "network_options": _sizes(path, weights),
            "obs_keys": obs_keys,
            "action_dim": action_dim,
            "action_names": _action_names(action_keys),
            "horizon": config.integer("algo.horizon.prediction_horizon"),
            "n_obs_steps": config.integer("algo.horizon.observation_horizon"),
            "n_action_steps": config.integer("algo.horizon.action_horizon"),
            **({} if period is None else {"step_period": period}),
            **noise_schedule(config, f"algo.{_sampler(config)}."),
        },
        copied(weights),
        {"obs": _obs_normalizer(file, obs_keys), "action": _action_normalizer(file, action_keys)},
        origin(path, payload),
        tuple(notes),
    )


def origin(path: Path, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of its making, as far as it can be read."""
    file, config = Fields(path, "file", payload), _config(path, payload)
    found: dict[str, Any] = {"policy": file.maybe("algo_name"), "task": file.maybe("env_metadata.env_name")}
    for sampler in ("ddpm", "ddim"):
        if config.maybe(f"algo.{sampler}.enabled"):
            found["sampler"] = sampler
            found["num_inference_steps"] = config.maybe(f"algo.{sampler}.num_inference_timesteps")
            break
    found.update(
        ema=config.maybe("algo.ema.enabled"), seed=config.maybe("train.seed"), epoch=file.maybe("variable_state.epoch")
    )
    return {name: value for name, value in found.items() if value is not None}


def _config(path: Path, payload: Mapping[str, Any]) -> Fields:
    try:
        return Fields(path, "config", json.loads(payload["config"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: config is not readable JSON ({error}); copy the file again") from error


def _sampler(config: Fields) -> str:
    for name in ("ddpm", "ddim"):
        if config.boolean(f"algo.{name}.enabled"):
            return name
    raise config.fault("algo.ddpm.enabled", False, "true, or algo.ddim.enabled true")


def _weights(file: Fields, config: Fields) -> dict[str, Tensor]:
    name = "model.ema" if config.boolean("algo.ema.enabled") else "model.nets"
    state = file.get(name)
    if not isinstance(state, Mapping):
        raise file.fault(name, state, "weights, as config.algo.ema.enabled says")
    weights = {n.removeprefix(_PREFIX): t for n, t in state.items() if n.startswith(_PREFIX)}
    others = sorted(set(state) - {_PREFIX + n for n in weights})
    if others:
        raise ValueError(
            f"{file.path}: {name} has {others[0]} (and {len(others) - 1} more) beside {_PREFIX}*: an encoder of images "
            "or of other observations, which is not supported; expected low-dimensional observations only"
        )
    return weights


def _sizes(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    first = "down_modules.{}.0.blocks.0.block.0.weight"
    levels = next(level for level in range(len(weights) + 1) if first.format(level) not in weights)
    names = [first.format(level) for level in range(max(levels, 1))]
    for name, ndim in (*((name, 3) for name in names), ("diffusion_step_encoder.3.weight", 2)):
        if name not in weights or weights[name].ndim != ndim:
            raise ValueError(f"{path}: {_PREFIX}{name} is missing or misshapen; expected a ConditionalUnet1D")
    return {
        "down_dims": tuple(weights[name].shape[0] for name in names),
        "diffusion_step_embed_dim": weights["diffusion_step_encoder.3.weight"].shape[0],
        "kernel_size": weights[names[0]].shape[-1],
        "n_groups": _N_GROUPS,
        "cond_predict_scale": True,
    }


def _obs_keys(file: Fields, config: Fields) -> tuple[tuple[str, int], ...]:
    """Low-dimensional keys in sorted order, as robomimic concatenates them, with their sizes."""
    for group, modality in (("obs", "rgb"), ("obs", "depth"), ("obs", "scan"), ("goal", "low_dim"), ("goal", "rgb")):
        name = f"observation.modalities.{group}.{modality}"
        if config.get(name, []):
            raise config.fault(name, config.get(name), "none: low-dimensional observations only")
    keys = []
    for key in sorted(config.texts("observation.modalities.obs.low_dim")):
        shapes = file.get("shape_metadata.all_shapes")
        shape = shapes.get(key) if isinstance(shapes, Mapping) else None
        if not isinstance(shape, (list, tuple)) or len(shape) != 1 or type(shape[0]) is not int:
            raise file.fault(f"shape_metadata.all_shapes.{key}", shape, "one size")
        keys.append((key, shape[0]))
    return tuple(keys)


def _action_keys(file: Fields, config: Fields) -> tuple[tuple[str, int], ...]:
    """(name, size) of each part of an action, in order; sizes of several parts come from their statistics."""
    names = config.texts("train.action_keys", ["actions"])
    if file.get("action_normalization_stats", None) is None:
        if len(names) != 1:
            raise config.fault("train.action_keys", names, "one key, or action_normalization_stats in the file")
        return ((names[0], file.integer("shape_metadata.ac_dim")),)
    return tuple((name, len(_numbers(file, f"action_normalization_stats|{name}|scale"))) for name in names)


def _action_names(keys: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    if len(keys) == 1:
        return numbered("action", keys[0][1])
    return tuple(name for key, size in keys for name in numbered(key.rpartition("/")[2], size))


def _action_normalizer(file: Fields, keys: tuple[tuple[str, int], ...]) -> dict[str, Tensor]:
    if file.get("action_normalization_stats", None) is None:
        size = keys[0][1]
        return linear(torch.ones(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64))
    return _inverted(file, "action_normalization_stats", keys, ("scale", "offset"))


def _obs_normalizer(file: Fields, keys: tuple[tuple[str, int], ...]) -> dict[str, Tensor]:
    statistics = file.get("obs_normalization_stats", None)
    if statistics is None:
        size = sum(size for _, size in keys)
        return linear(torch.ones(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64))
    # Before 0.4 the pair was called std and mean; what is done with it is the same.
    first = statistics.get(keys[0][0]) if isinstance(statistics, Mapping) else None
    names = ("std", "mean") if isinstance(first, Mapping) and "mean" in first else ("scale", "offset")
    return _inverted(file, "obs_normalization_stats", keys, names)


def _inverted(file: Fields, where: str, keys: tuple[tuple[str, int], ...], names: tuple[str, str]) -> dict[str, Tensor]:
    """From robomimic's raw = scale * normalised + offset to normalised = raw * scale + offset."""
    scale, offset = (torch.cat([_numbers(file, f"{where}|{key}|{name}", size) for key, size in keys]) for name in names)
    if (scale == 0).any():
        raise ValueError(f"{file.path}: {where} has a {names[0]} of zero, expected another number")
    return linear(1 / scale, -offset / scale)


def _numbers(file: Fields, name: str, size: int | None = None) -> Tensor:
    """A statistic, by names joined with "|" (keys may hold dots), flattened: robomimic stores (1, size)."""
    node: Any = file.tree
    for part in name.split("|"):
        node = node.get(part) if isinstance(node, Mapping) else None
    try:
        numbers = torch.as_tensor(node, dtype=torch.float64).flatten().clone()
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if not len(numbers) or len(numbers) != (size or len(numbers)):
        raise file.fault(name.replace("|", "."), node, f"a list of {size or 'some'} numbers")
    return numbers


def _rotations(config: Fields, keys: tuple[tuple[str, int], ...]) -> list[str]:
    formats = config.get("train.action_config", {})
    turned = [key for key, _ in keys if isinstance(formats, Mapping) and _format(formats.get(key)) == "rot_6d"]
    if not turned:
        return []
    return [f"{', '.join(turned)}: actions are 6 numbers of a rotation matrix; robomimic converts them at run time"]


def _format(entry: Any) -> Any:
    return entry.get("format") if isinstance(entry, Mapping) else None


def _step_period(file: Fields) -> float | None:
    frequency = file.maybe("env_metadata.env_kwargs.control_freq")
    return 1 / frequency if isinstance(frequency, (int, float)) and frequency > 0 else None

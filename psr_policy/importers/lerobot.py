"""Policy folders of LeRobot's diffusion policy (huggingface/lerobot, Apache-2.0) without images.

A folder holds `config.json` and `model.safetensors`. Statistics lie in the processors' own files
(`policy_preprocessor.json`, `policy_postprocessor.json` and the .safetensors they name), or, in folders from before
September 2025, among the weights. LeRobot has no transformer of this kind and keeps no averaged weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from psr_policy.importers.fields import Fields, noise_schedule
from psr_policy.importers.foreign import STEP_PERIOD_UNKNOWN, VANISHING, ForeignCheckpoint, linear, numbered
from psr_policy.normalizer import STATISTICS

LABEL = "LeRobot diffusion policy"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PREFIX = "diffusion.unet."
_OLD_OBS, _OLD_ACTION = "normalize_inputs.buffer_", "unnormalize_outputs.buffer_"
_OLD = (_OLD_OBS, _OLD_ACTION, "normalize_targets.buffer_")
# The order in which the network sees them, whatever their order in the file.
_INPUTS = {"observation.state": "STATE", "observation.environment_state": "ENV"}
_MODES = {"IDENTITY": (), "MIN_MAX": ("min", "max"), "MEAN_STD": ("mean", "std")}
# Steps of a processor that change no number, and the one that does.
_NEUTRAL_STEPS = {"rename_observations_processor", "to_batch_processor", "device_processor"}
_EPS = 1e-8


@dataclass(frozen=True)
class _Normalisation:
    """How a folder normalises: modes by type of feature, statistics by feature, eps, and what eps is added to.

    padded: eps widens every range or deviation of an observation (the old layout), not only those of zero.
    """

    modes: Mapping[str, str]
    statistics: Mapping[str, Mapping[str, Tensor]]
    eps: float
    padded: bool


def recognises(folder: Path) -> bool:
    """Whether a folder looks like one that LeRobot saved."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read(folder: Path) -> ForeignCheckpoint:
    """The policy of a folder.

    Raises ValueError naming the file, the field and its value when something is missing or cannot be represented.
    """
    config = Fields(folder / CONFIG, "config", read_json(folder / CONFIG))
    config.expect("type", "diffusion", why="other policies of LeRobot are not supported")
    inputs, action_dim = _inputs(config), _feature(config, "output_features", "action", "ACTION")
    tensors = _read_tensors(folder / WEIGHTS)
    old = any(name.startswith(_OLD) for name in tensors)
    obs, action = (_old(config, tensors, kind) if old else _new(folder, kind) for kind in ("obs", "action"))
    schedule = noise_schedule(config, "")
    notes, period = [], Fields(folder / "train_config.json", "train", _optional_json(folder)).maybe("env.fps")
    if not isinstance(period, (int, float)) or period <= 0:
        period = None
        notes.append(STEP_PERIOD_UNKNOWN)
    if action.modes.get("ACTION") == "MEAN_STD" and schedule["clip_sample"]:
        notes.append("actions are normalised by mean and deviation while clip_sample is on: none leaves mean +- std")
    return ForeignCheckpoint(
        "lerobot",
        folder,
        {
            "network": "unet",
            "network_options": {
                "down_dims": config.integers("down_dims"),
                **{n: config.integer(n) for n in ("diffusion_step_embed_dim", "kernel_size", "n_groups")},
                "cond_predict_scale": config.boolean("use_film_scale_modulation"),
            },
            "obs_keys": inputs,
            "action_dim": action_dim,
            "action_names": numbered("action", action_dim),
            **{name: config.integer(name) for name in ("horizon", "n_obs_steps", "n_action_steps")},
            **({} if period is None else {"step_period": 1 / period}),
            **schedule,
        },
        _weights(folder / WEIGHTS, tensors),
        {
            "obs": _joined([_obs_field(folder, obs, key, size) for key, size in inputs]),
            "action": _action_field(folder, action, action_dim, schedule["clip_sample"]),
        },
        origin(folder),
        tuple(notes),
    )


def origin(folder: Path) -> dict[str, Any]:
    """What the folder says of its making, as far as it can be read."""
    config = Fields(folder / CONFIG, "config", read_json(folder / CONFIG))
    train = Fields(folder / "train_config.json", "train", _optional_json(folder))
    found = {
        "policy": config.maybe("type"),
        "data": train.maybe("dataset.repo_id"),
        "sampler": config.maybe("noise_scheduler_type"),
        "num_inference_steps": config.maybe("num_inference_steps"),
        "seed": train.maybe("seed"),
        "planned_steps": train.maybe("steps"),
        "licence": config.maybe("license") or _licence(folder),
    }
    return {name: value for name, value in found.items() if value is not None}


def read_json(path: Path) -> Any:
    """The contents of a JSON file. Raises ValueError naming it when it is missing or malformed."""
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}; copy the whole folder")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from error


def _optional_json(folder: Path) -> Any:
    return read_json(folder / "train_config.json") if (folder / "train_config.json").is_file() else {}


def _licence(folder: Path) -> str | None:
    """What the model card's header says."""
    card = folder / "README.md"
    match = re.search(r"^license:\s*(\S+)", card.read_text(errors="replace"), re.MULTILINE) if card.is_file() else None
    return match[1] if match else None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}; copy the whole folder")
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); copy the folder again") from error


def _inputs(config: Fields) -> tuple[tuple[str, int], ...]:
    features = config.get("input_features")
    if not isinstance(features, Mapping) or "observation.state" not in features:
        raise config.fault("input_features", features, "features, observation.state among them")
    if unknown := sorted(set(features) - set(_INPUTS)):
        raise config.fault(
            "input_features", ", ".join(unknown), f"only {' and '.join(_INPUTS)}: images and others are not supported"
        )
    return tuple((key, _feature(config, "input_features", key, _INPUTS[key])) for key in _INPUTS if key in features)


def _feature(config: Fields, group: str, key: str, kind: str) -> int:
    """Size of a feature of one dimension."""
    features = config.get(group)
    feature: Any = features.get(key) if isinstance(features, Mapping) else None
    shape: Any = feature.get("shape") if isinstance(feature, Mapping) else None
    sized = isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int
    if not sized or feature.get("type") != kind:
        raise config.fault(f"{group}.{key}", feature, f"type {kind} and a shape of one size")
    size: int = shape[0]
    return size


def _weights(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's, under native names; statistics of the old layout are left out."""
    weights = {}
    for name, tensor in tensors.items():
        name = name.replace("._orig_mod", "")  # torch.compile's mark
        if name.startswith(_PREFIX):
            weights[_native_name(name.removeprefix(_PREFIX))] = tensor
        elif not name.startswith(_OLD):
            raise ValueError(f"{path}: {name} is not of a diffusion policy without images; expected {_PREFIX}*")
    return weights


def _native_name(name: str) -> str:
    name = name.replace(".conv1.", ".blocks.0.").replace(".conv2.", ".blocks.1.")
    return re.sub(r"^((?:down|up)_modules\.\d+\.2)\.(weight|bias)$", r"\1.conv.\2", name)


def _old(config: Fields, tensors: Mapping[str, Tensor], kind: str) -> _Normalisation:
    prefix = _OLD_OBS if kind == "obs" else _OLD_ACTION
    statistics: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            feature, _, statistic = name.removeprefix(prefix).partition(".")
            statistics.setdefault(feature, {})[statistic] = tensor.double()
    # A name's dots were written as underscores.
    written = {key: key.replace(".", "_") for key in (*_INPUTS, "action")}
    named = {key: statistics[name] for key, name in written.items() if name in statistics}
    return _Normalisation(_modes(config, "normalization_mapping"), named, _EPS, padded=True)


def _new(folder: Path, kind: str) -> _Normalisation:
    name, registered = {
        "obs": ("policy_preprocessor.json", "normalizer_processor"),
        "action": ("policy_postprocessor.json", "unnormalizer_processor"),
    }[kind]
    path = folder / name
    steps = Fields(path, "processor", read_json(path)).get("steps")
    found = [step for step in steps if step.get("registry_name") == registered]
    others = [step.get("registry_name") or step.get("class") for step in steps if step not in found]
    if unknown := [other for other in others if other not in _NEUTRAL_STEPS]:
        raise ValueError(f"{path}: step {unknown[0]!r} might change numbers; expected {registered} alone to do so")
    if len(found) != 1:
        raise ValueError(f"{path}: {registered} occurs {len(found)} times, expected once")
    step = Fields(path, registered, found[0])
    step.expect("config.normalize_observation_keys", None, None, "all observations are normalised alike")
    eps, file = step.get("config.eps", _EPS), step.get("state_file", None)
    statistics: dict[str, dict[str, Tensor]] = {}
    if file is not None:
        if Path(str(file)).name != file:
            raise step.fault("state_file", file, "the name of a file in the folder")
        for key, tensor in _read_tensors(folder / file).items():
            feature, _, statistic = key.rpartition(".")
            statistics.setdefault(feature, {})[statistic] = tensor.double()
    return _Normalisation(_modes(step, "config.norm_map"), statistics, float(eps), padded=False)


def _modes(fields: Fields, name: str) -> dict[str, str]:
    modes = fields.get(name)
    if not isinstance(modes, Mapping):
        raise fields.fault(name, modes, "a mode for each type of feature")
    for kind, mode in modes.items():
        if mode not in _MODES and kind in ("STATE", "ENV", "ACTION"):
            raise fields.fault(f"{name}.{kind}", mode, f"one of: {', '.join(_MODES)}")
    return dict(modes)


def _statistics(folder: Path, how: _Normalisation, key: str, kind: str, size: int) -> tuple[str, dict[str, Tensor]]:
    mode = how.modes.get(kind, "IDENTITY")  # as LeRobot does: a type that is not named passes as it is
    found = {name: tensor for name, tensor in how.statistics.get(key, {}).items() if name in STATISTICS}
    for name in _MODES[mode]:
        if name not in found:
            raise ValueError(f"{folder} has no statistic {name} of {key}, which {mode} needs; copy the whole folder")
    for name, tensor in found.items():
        if tensor.shape != (size,) or not tensor.isfinite().all():
            raise ValueError(f"{folder}: statistic {name} of {key} is {tensor.tolist()}; {size} finite numbers wanted")
    return mode, found


def _obs_field(folder: Path, how: _Normalisation, key: str, size: int) -> dict[str, Tensor]:
    mode, known = _statistics(folder, how, key, _INPUTS[key], size)
    centre, width, shift = _line(mode, known, size)
    still = width == 0
    if mode == "MEAN_STD":
        width = width + how.eps
    elif mode == "MIN_MAX" and how.padded:
        width = width + how.eps / 2
    # A dimension that never moved is -1 (mean and deviation: 0) for the one value it had. LeRobot tears every other
    # value away by 1 / eps; here all of them read as that one, which float32 can hold exactly.
    scale = torch.where(still, VANISHING, 1 / torch.where(still, 1.0, width))
    buffers = linear(scale, shift - scale * centre, known)
    for name in set(STATISTICS) - set(known):
        value = 0 * centre if name == "std" else centre
        buffers[name] = torch.where(still, value.float(), buffers[name])
    return buffers


def _action_field(folder: Path, how: _Normalisation, size: int, clip_sample: bool) -> dict[str, Tensor]:
    mode, known = _statistics(folder, how, "action", "ACTION", size)
    if not {"min", "max"} <= set(known) and not clip_sample:
        raise ValueError(f"{folder}: neither clip_sample nor statistics min and max bound the actions; expected one")
    centre, width, shift = _line(mode, known, size)
    # LeRobot turns a dimension that never moved back into its one value, up to eps; so does this scale.
    width = torch.where(width == 0, how.eps / 2, width)
    return linear(1 / width, shift - centre / width, known)


def _line(mode: str, known: Mapping[str, Tensor], size: int) -> tuple[Tensor, Tensor, float]:
    """centre, width (D,) double and shift of normalised = (raw - centre) / width + shift."""
    if mode == "MIN_MAX":
        return known["min"], (known["max"] - known["min"]) / 2, -1.0
    if mode == "MEAN_STD":
        return known["mean"], known["std"], 0.0
    return torch.zeros(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64), 0.0


def _joined(fields: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([field[name] for field in fields]) for name in fields[0]}

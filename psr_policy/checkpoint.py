"""The native form of a policy on disk: a folder with `policy.safetensors` (weights) and `policy.json` (the rest)."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from psr_core.files import write_whole
from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.config import PolicyConfig
from psr_policy.policy import DiffusionPolicy

FORMAT = "psr policy"
FORMAT_VERSION = 1
WEIGHTS = "policy.safetensors"
DESCRIPTION = "policy.json"
SAVE_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def save_policy(
    folder: Path | str, policy: DiffusionPolicy, card: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> str:
    """Writes a policy and returns its checkpoint id, which becomes policy.checkpoint_id.

    card: where it comes from (command, data, seed, git revision, metrics), plain JSON values; the sha256 of the weights
    is added. dtype: of the stored network weights; the normaliser stays float32. Each file is replaced whole.
    Raises ValueError when the normaliser was never fitted or a weight is not finite in dtype.
    """
    folder = Path(folder)
    tensors = {}
    for name, tensor in policy.state_dict().items():
        kind = dtype if name.startswith("model.") else torch.float32
        tensors[name] = tensor.detach().to("cpu", kind).contiguous()
    _check_values(folder, policy, tensors)
    data = safetensors.torch.save(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": policy.config.to_dict(),
        "card": {**card, "sha256": sha256},
    }
    content = _as_json(description)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / DESCRIPTION, content)
    policy.checkpoint_id = _checkpoint_id(folder, sha256)
    return policy.checkpoint_id


def load_policy(folder: Path | str, device: torch.device | str = "cpu") -> DiffusionPolicy:
    """The policy of a folder, float32, ready to sample on device.

    Raises FileNotFoundError when the folder or a file is missing, and ValueError naming the file and the fault when
    a file is damaged, belongs to another version or another network, or holds numbers no robot should follow.
    """
    folder = Path(folder)
    config = read_config(folder)
    sha256 = read_description(folder)["card"].get("sha256")
    tensors = _read_weights(folder / WEIGHTS, sha256)
    policy = DiffusionPolicy(config)
    _check_names_and_shapes(folder / WEIGHTS, policy.state_dict(), tensors)
    policy.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    _check_values(folder, policy, tensors)
    policy.checkpoint_id = _checkpoint_id(folder, str(sha256))
    return policy.to(device).eval()


def read_config(folder: Path | str) -> PolicyConfig:
    """The config of a policy, without its weights. Raises as load_policy does."""
    description = read_description(folder)
    try:
        return PolicyConfig.from_dict(description["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{Path(folder) / DESCRIPTION}: {error}") from error


def read_description(folder: Path | str) -> dict[str, Any]:
    """The checked contents of policy.json: format, format_version, config, card. Raises as load_policy does."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no policy folder at {folder}; expected a folder with {WEIGHTS} and {DESCRIPTION}, "
            "as `psr train policy` writes it"
        )
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; copy the whole folder, or train again")
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path} does not describe a policy; expected an object with format = {FORMAT!r}")
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version is {description.get('format_version')!r}, this version reads {FORMAT_VERSION}; "
            "install the version that wrote it, or train again"
        )
    for name in ("config", "card"):
        if not isinstance(description.get(name), dict):
            raise ValueError(f"{path}: {name} is missing, expected an object; copy the folder again")
    return description


def add_to_card(folder: Path | str, name: str, value: Any) -> None:
    """Writes an entry (plain JSON) into a policy's card, replacing one of that name. Raises as load_policy does."""
    folder = Path(folder)
    description = read_description(folder)
    description["card"][name] = value
    write_whole(folder / DESCRIPTION, _as_json(description))


@torch.no_grad()
def rounding_error(policy: DiffusionPolicy, obs: Tensor, dtype: torch.dtype) -> float:
    """Largest difference that storing the network weights in dtype makes to a sampled action, in raw units.

    obs (B, To, Do) raw. Sixteen DDIM steps, the same noise for both.
    """
    rounded = copy.deepcopy(policy)
    for parameter in rounded.model.parameters():
        parameter.copy_(parameter.to(dtype))
    exact, inexact = (
        p.eval().sample(
            obs,
            steering=Steering(),
            sampler="ddim",
            num_inference_steps=min(16, policy.config.num_train_timesteps),
            generators=[noise_generator(0, 0, row) for row in range(len(obs))],
        )
        for p in (policy, rounded)
    )
    return float((exact - inexact).abs().max())


def _read_weights(path: Path, expected_sha256: Any) -> dict[str, Tensor]:
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); copy the folder again") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != expected_sha256:
        raise ValueError(
            f"{path} has sha256 {sha256[:12]}..., but {DESCRIPTION} names {str(expected_sha256)[:12]}...; "
            "the two files are not of one policy: copy the folder again"
        )
    return tensors


def _check_names_and_shapes(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if missing := [name for name in expected if name.startswith("normalizer.") and name not in found]:
        raise ValueError(
            f"{path} has no normaliser statistics ({missing[0]} and {len(missing) - 1} more are missing); "
            "without them actions have no units: save the policy again with its normaliser"
        )
    if faults := misfits(expected, found):
        raise ValueError(f"{path} does not fit the config in {DESCRIPTION}: {faults}")


def misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What is missing, unexpected or of another shape among the tensors found, the first three in words; else ""."""
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is unexpected" for name in found if name not in expected]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
    return "; ".join(faults[:3]) + more


def _check_values(folder: Path, policy: DiffusionPolicy, tensors: Mapping[str, Tensor]) -> None:
    for name in ("obs", "action"):
        if problem := getattr(policy.normalizer, name).problem():
            raise ValueError(f"{folder}: normalizer.{name}: {problem}; expected statistics fitted to demonstrations")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{folder}: weight {name} is not finite in {tensor.dtype}; train again or save as float32")


def _as_json(description: Mapping[str, Any]) -> bytes:
    return (json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _checkpoint_id(folder: Path, sha256: str) -> str:
    return f"{folder.resolve().name}@{sha256[:12]}"

"""The native form of a policy on disk: a folder with `policy.safetensors` (weights) and `policy.json` (the rest)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psr_core.model_folder import ModelFolder, checkpoint_id
from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.config import PolicyConfig
from psr_policy.policy import DiffusionPolicy

FILES = ModelFolder("policy", "psr train policy")
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
    _check_statistics(folder, policy)
    policy.checkpoint_id = FILES.save(folder, tensors, policy.config.to_dict(), card)
    return policy.checkpoint_id


def load_policy(folder: Path | str, device: torch.device | str = "cpu") -> DiffusionPolicy:
    """The policy of a folder, float32, ready to sample on device.

    Raises FileNotFoundError when the folder or a file is missing, and ValueError naming the file and the fault when
    a file is damaged, belongs to another version or another network, or holds numbers no robot should follow.
    """
    folder = Path(folder)
    config = read_config(folder)
    sha256 = read_description(folder)["card"].get("sha256")
    tensors = FILES.read_weights(folder, sha256)
    policy = DiffusionPolicy(config)
    _check_normalizer(folder / FILES.weights, policy.state_dict(), tensors)
    FILES.check_fit(folder, policy.state_dict(), tensors)
    policy.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    _check_statistics(folder, policy)
    FILES.check_finite(folder, tensors)
    policy.checkpoint_id = checkpoint_id(folder, str(sha256))
    return policy.to(device).eval()


def read_config(folder: Path | str) -> PolicyConfig:
    """The config of a policy, without its weights. Raises as load_policy does."""
    description = read_description(folder)
    try:
        return PolicyConfig.from_dict(description["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{Path(folder) / FILES.description}: {error}") from error


def read_description(folder: Path | str) -> dict[str, Any]:
    """The checked contents of policy.json: format, format_version, config, card. Raises as load_policy does."""
    return FILES.read(Path(folder))


def add_to_card(folder: Path | str, name: str, value: Any) -> None:
    """Writes an entry (plain JSON) into a policy's card, replacing one of that name. Raises as load_policy does."""
    FILES.add_to_card(Path(folder), name, value)


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


def _check_normalizer(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if missing := [name for name in expected if name.startswith("normalizer.") and name not in found]:
        raise ValueError(
            f"{path} has no normaliser statistics ({missing[0]} and {len(missing) - 1} more are missing); "
            "without them actions have no units: save the policy again with its normaliser"
        )


def _check_statistics(folder: Path, policy: DiffusionPolicy) -> None:
    for name in ("obs", "action"):
        if problem := getattr(policy.normalizer, name).problem():
            raise ValueError(f"{folder}: normalizer.{name}: {problem}; expected statistics fitted to demonstrations")

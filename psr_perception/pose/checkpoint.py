"""A pose network on disk: a folder with `pose.safetensors` (weights) and `pose.json` (its shape and its card)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from psr_core.model_folder import ModelFolder, checkpoint_id
from psr_perception.pose.network import PoseConfig, PoseNetwork

FILES = ModelFolder("pose", "psr train pose")


def save_pose_network(
    folder: Path | str, network: PoseNetwork, card: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> str:
    """Writes a network and returns its checkpoint id.

    card: where it comes from (command, data, seed, git revision, metrics), plain JSON; the weights' sha256 is added.
    dtype: of the stored weights. Each file is replaced whole. Raises ValueError when a weight is not finite in dtype.
    """
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in network.state_dict().items()}
    return FILES.save(Path(folder), tensors, network.config.to_dict(), card)


def load_pose_network(folder: Path | str, device: torch.device | str = "cpu") -> tuple[PoseNetwork, str]:
    """The network of a folder, float32, ready to sample on device, and its checkpoint id.

    Raises FileNotFoundError when the folder or a file is missing, ValueError naming the file and the fault when one is
    damaged, is of another version, or does not fit the other.
    """
    folder = Path(folder)
    description = FILES.read(folder)
    try:
        network = PoseNetwork(PoseConfig(**description["config"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / FILES.description}: config: {error}; copy the folder again") from error
    sha256 = description["card"].get("sha256")
    tensors = FILES.read_weights(folder, sha256)
    FILES.check_fit(folder, network.state_dict(), tensors)
    FILES.check_finite(folder, tensors)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.to(device).eval(), checkpoint_id(folder, str(sha256))


def read_pose_description(folder: Path | str) -> dict[str, Any]:
    """The checked contents of pose.json: format, format_version, config, card. Raises as load_pose_network does."""
    return FILES.read(Path(folder))

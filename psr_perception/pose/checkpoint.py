"""A pose network on disk: a folder with `pose.safetensors` (weights) and `pose.json` (its shape and its card)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from psr_core.files import write_whole
from psr_perception.pose.network import PoseConfig, PoseNetwork

FORMAT, FORMAT_VERSION = "psr pose", 1
WEIGHTS, DESCRIPTION = "pose.safetensors", "pose.json"


def save_pose_network(
    folder: Path | str, network: PoseNetwork, card: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> str:
    """Writes a network and returns its checkpoint id.

    card: where it comes from (command, data, seed, git revision, metrics), plain JSON; the weights' sha256 is added.
    dtype: of the stored weights. Each file is replaced whole. Raises ValueError when a weight is not finite in dtype.
    """
    folder = Path(folder)
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in network.state_dict().items()}
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{folder}: weight {broken[0]} is not finite in {dtype}; train again or save as float32")
    data = safetensors.torch.save(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": network.config.to_dict(),
        "card": {**card, "sha256": sha256},
    }
    content = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / DESCRIPTION, content.encode())
    return _checkpoint_id(folder, sha256)


def load_pose_network(folder: Path | str, device: torch.device | str = "cpu") -> tuple[PoseNetwork, str]:
    """The network of a folder, float32, ready to sample on device, and its checkpoint id.

    Raises FileNotFoundError when the folder or a file is missing, ValueError naming the file and the fault when one is
    damaged, is of another version, or does not fit the other.
    """
    folder = Path(folder)
    description = read_pose_description(folder)
    try:
        network = PoseNetwork(PoseConfig(**description["config"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / DESCRIPTION}: config: {error}; copy the folder again") from error
    data = (folder / WEIGHTS).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != description["card"].get("sha256"):
        raise ValueError(
            f"{folder / WEIGHTS} is damaged or not of {DESCRIPTION}: sha256 differs; copy the folder again"
        )
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in safetensors.torch.load(data).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit {DESCRIPTION} ({error}); copy the folder again") from error
    return network.to(device).eval(), _checkpoint_id(folder, sha256)


def read_pose_description(folder: Path | str) -> dict[str, Any]:
    """The checked contents of pose.json: format, format_version, config, card. Raises as load_pose_network does."""
    folder = Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; expected a folder with {WEIGHTS} and {DESCRIPTION}")
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path} does not describe a pose network; expected an object with format = {FORMAT!r}")
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version is {description.get('format_version')!r}, this version reads {FORMAT_VERSION}; "
            "install the version that wrote it, or train again"
        )
    for name in ("config", "card"):
        if not isinstance(description.get(name), dict):
            raise ValueError(f"{path}: {name} is missing, expected an object; copy the folder again")
    return description


def _checkpoint_id(folder: Path, sha256: str) -> str:
    return f"{folder.resolve().name}@{sha256[:12]}"

"""Folders and hub ids of diffusers models: checked before weights are read, with errors that name them and the cure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

Read = TypeVar("Read")
# What diffusers, transformers and safetensors raise for files that are not there, cut short, or of another network.
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError)


def local_folder(model: str, name: str = "model") -> Path | None:
    """The folder that `model` names, checked, or None for a hub id (owner/name). name: what messages call it.

    Raises FileNotFoundError or ValueError for what is neither, holds no pipeline, or has pickled weights only.
    """
    folder = Path(model).expanduser()
    if folder.exists():
        _check_folder(folder, name)
        return folder
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return None
    raise FileNotFoundError(f"{name} folder {model} does not exist, nor is it a hub id of the form owner/name")


def reading(model: str, folder: Path | None, read: Callable[[], Read], name: str = "model") -> Read:
    """What read() returns. Raises OSError naming the model and the cure where it cannot be read."""
    try:
        return read()
    except UNREADABLE as error:
        cure = "is its download complete?"
        if folder is None:
            cure = (
                "there is no folder of that name, and the Hugging Face cache and hub were asked in vain. Download it "
                f"where there is a network (`hf download {model} --local-dir FOLDER`), then --{name} FOLDER"
            )
        raise OSError(f"{name} {model} cannot be loaded: {str(error).rstrip('. ')}; {cure}") from None


def modules_sha256(parts: Mapping[str, Any]) -> str:
    """sha256 of all weights of a pipeline's parts, in their dtype; what is no network does not count."""
    digest = hashlib.sha256()
    for name, part in sorted(parts.items()):
        if isinstance(part, torch.nn.Module):
            for key, tensor in part.state_dict().items():
                digest.update(f"{name}.{key}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_folder(folder: Path, name: str) -> None:
    if folder.is_file():
        raise ValueError(
            f"{name} {folder} is a file, expected a diffusers folder (with model_index.json); convert it with "
            "diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
        )
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"{name} folder {folder} holds no model_index.json; expected a diffusers pipeline")
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        if any(part.glob("*.bin")) and not any(part.glob("*.safetensors")):
            raise ValueError(
                f"{name} folder {part} holds .bin weights only: pickles, which are never executed here. If you trust "
                "them: DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW_FOLDER)"
            )

"""A network on disk: a folder with `<kind>.safetensors` (weights) and `<kind>.json` (configuration and card)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from psr_core.files import write_whole

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelFolder:
    """The folders of one kind of network. kind: names the files and the format; maker: the command that writes them."""

    kind: str
    maker: str

    @property
    def weights(self) -> str:
        """File name of the weights."""
        return f"{self.kind}.safetensors"

    @property
    def description(self) -> str:
        """File name of the rest."""
        return f"{self.kind}.json"

    @property
    def _format(self) -> str:
        return f"psr {self.kind}"

    def save(
        self, folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: Mapping[str, Any]
    ) -> str:
        """Writes both files, each whole, and returns the checkpoint id.

        tensors: on the CPU, contiguous. card: plain JSON; the weights' sha256 is added. Raises ValueError for a weight
        that is not finite, before anything is written.
        """
        self.check_finite(folder, tensors)
        data = safetensors.torch.save(dict(tensors))
        sha256 = hashlib.sha256(data).hexdigest()
        content = {
            "format": self._format,
            "format_version": FORMAT_VERSION,
            "config": dict(config),
            "card": {**card, "sha256": sha256},
        }
        text = _as_json(content)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / self.weights, data)
        write_whole(folder / self.description, text)
        return checkpoint_id(folder, sha256)

    def read(self, folder: Path) -> dict[str, Any]:
        """The checked contents of the description: format, format_version, config, card.

        Raises FileNotFoundError when the folder or a file is missing, ValueError naming the file and the fault when it
        is damaged or of another format or version.
        """
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no {self.kind} folder at {folder}; expected a folder with {self.weights} and {self.description}, "
                f"as `{self.maker}` writes it"
            )
        for name in (self.description, self.weights):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} has no {name}; copy the whole folder, or train again")
        path = folder / self.description
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from error
        if not isinstance(content, dict) or content.get("format") != self._format:
            raise ValueError(
                f"{path} does not describe a {self.kind}; expected an object with format = {self._format!r}"
            )
        if content.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{path}: format_version is {content.get('format_version')!r}, this version reads {FORMAT_VERSION}; "
                "install the version that wrote it, or train again"
            )
        for name in ("config", "card"):
            if not isinstance(content.get(name), dict):
                raise ValueError(f"{path}: {name} is missing, expected an object; copy the folder again")
        return content

    def read_weights(self, folder: Path, sha256: Any) -> dict[str, Tensor]:
        """The tensors, as stored. sha256: as the card has it. Raises ValueError for a damaged or another file."""
        path = folder / self.weights
        data = path.read_bytes()
        try:
            tensors = safetensors.torch.load(data)
        except SafetensorError as error:
            raise ValueError(f"{path} is truncated or damaged ({error}); copy the folder again") from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ValueError(
                f"{path} has sha256 {found[:12]}..., but {self.description} names {str(sha256)[:12]}...; "
                f"the two files are not of one {self.kind}: copy the folder again"
            )
        return tensors

    def check_fit(self, folder: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
        """Raises ValueError naming what is missing, unexpected or of another shape than the config makes it."""
        if faults := misfits(expected, found):
            raise ValueError(f"{folder / self.weights} does not fit the config in {self.description}: {faults}")

    def check_finite(self, folder: Path, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError naming a weight that is not finite."""
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise ValueError(
                    f"{folder}: weight {name} is not finite in {tensor.dtype}; train again or save as float32"
                )

    def add_to_card(self, folder: Path, name: str, value: Any) -> None:
        """Writes an entry (plain JSON) into the card, replacing one of that name. Raises as read does."""
        content = self.read(folder)
        content["card"][name] = value
        write_whole(folder / self.description, _as_json(content))


def checkpoint_id(folder: Path, sha256: str) -> str:
    """What messages, bags and reports call a network: the folder's name @ the first 12 characters of its sha256."""
    return f"{folder.resolve().name}@{sha256[:12]}"


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


def _as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

"""Which format a checkpoint has, and the way from a file or folder to a native policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psr_core.files import file_sha256
from psr_policy.checkpoint import FILES, save_policy
from psr_policy.importers import chi, lerobot, robomimic, safe_pickle
from psr_policy.importers.foreign import ForeignCheckpoint, to_native
from psr_policy.policy import DiffusionPolicy

NATIVE = "native"
FORMATS = ("chi", "robomimic", "lerobot")
LABELS = {
    NATIVE: "psr policy (native)",
    "chi": chi.LABEL,
    "robomimic": robomimic.LABEL,
    "lerobot": lerobot.LABEL,
}


@dataclass(frozen=True)
class Source:
    """A checkpoint that was opened safely: its path, its format, and (of a single file) what it holds."""

    path: Path
    format: str
    payload: Any = None


def open_source(path: Path | str, format: str = "auto") -> Source:
    """Opens a checkpoint and finds out, or checks, its format: one of FORMATS, or NATIVE.

    Raises FileNotFoundError, or ValueError naming the file when it is damaged, unsafe, of no known format, or of
    another one than asked for.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}; expected a .ckpt or .pth file, or a folder")
    source = _open_folder(path) if path.is_dir() else _open_file(path)
    if format not in ("auto", source.format):
        raise ValueError(f"{path} is a checkpoint of format {source.format}, not {format}; leave --format out")
    return source


def read(source: Source) -> ForeignCheckpoint:
    """The policy of a foreign checkpoint. Raises ValueError as the importers do."""
    if source.format == NATIVE:
        raise ValueError(f"{source.path} is in the native form already; use it as it is")
    foreign: ForeignCheckpoint = _laid_out(source, "read")
    return foreign


def origin(source: Source) -> dict[str, Any]:
    """What a foreign checkpoint says of its making, also where the policy itself cannot be read."""
    says: dict[str, Any] = _laid_out(source, "origin")
    return says


def save(foreign: ForeignCheckpoint, folder: Path | str, command: str) -> DiffusionPolicy:
    """Writes a foreign checkpoint in the native form, its card saying where it comes from; returns the policy.

    Raises FileExistsError when the folder holds a policy already, and ValueError as to_native.
    """
    folder = Path(folder)
    if (folder / FILES.description).exists():
        raise FileExistsError(f"{folder} holds a policy already; name another folder, or delete that one")
    policy = to_native(foreign)
    made_from = {
        "format": foreign.format,
        "name": foreign.source.resolve().name,
        "sha256": fingerprints(foreign.source),
        "says": dict(foreign.origin),
    }
    save_policy(folder, policy, {"command": command, "converted_from": made_from, "notes": list(foreign.notes)})
    return policy


def fingerprints(path: Path) -> Mapping[str, str] | str:
    """sha256 of a file, or of a folder's .json and .safetensors files by name."""
    if path.is_file():
        return file_sha256(path)
    files = (file for file in sorted(path.iterdir()) if file.suffix in (".json", ".safetensors"))
    return {file.name: file_sha256(file) for file in files if file.is_file()}


def _laid_out(source: Source, task: str) -> Any:
    """Calls an importer; a file can hold anything in any place, which the importer need not foresee."""
    try:
        if source.format == "lerobot":
            return getattr(lerobot, task)(source.path)
        return getattr({"chi": chi, "robomimic": robomimic}[source.format], task)(source.path, source.payload)
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(
            f"{source.path} is not laid out as a checkpoint of {LABELS[source.format]} ({error!r}); it may be damaged"
        ) from error


def _open_folder(path: Path) -> Source:
    if (path / FILES.description).is_file():
        return Source(path, NATIVE)
    if lerobot.recognises(path):
        return Source(path, "lerobot")
    inner = path / "pretrained_model"
    hint = f"; try {inner}" if lerobot.recognises(inner) else ""
    raise ValueError(
        f"{path} is no policy folder: expected {FILES.description}, or LeRobot's {lerobot.CONFIG} and "
        f"{lerobot.WEIGHTS}{hint}"
    )


def _open_file(path: Path) -> Source:
    payload = safe_pickle.load(path)
    for name, module in (("chi", chi), ("robomimic", robomimic)):
        if module.recognises(payload):
            return Source(path, name, payload)
    found = ", ".join(map(str, list(payload)[:8])) if isinstance(payload, Mapping) else type(payload).__name__
    raise ValueError(
        f"{path} holds {found}; expected cfg and state_dicts ({chi.LABEL}), or model, config and algo_name "
        f"({robomimic.LABEL})"
    )

"""A folder of assets with a list of them, which is whole at every moment.

catalogue.json      "format": "psr catalogue", "format_version": 1
                    "assets": [{"name": the asset's folder, "thumbnail": file or "", "made": {...},
                                "statistics": {...}, "results": {...}}, ...]
<name>/             an asset (psr_mesh.asset)
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from psr_core.files import write_whole
from psr_mesh.asset import read_asset

FORMAT, VERSION = "psr catalogue", 1
CATALOGUE = "catalogue.json"


@dataclass(frozen=True)
class Entry:
    """An asset in a catalogue. thumbnail: a file relative to the catalogue's folder, "" for none.

    made, statistics: the asset's own; results: of tests, from whoever added it.
    """

    name: str
    thumbnail: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)


def read_catalogue(folder: Path | str) -> list[Entry]:
    """The entries in the order they were added; none where there is no catalogue yet.

    Raises ValueError naming the file and the cure when it is damaged or of another format.
    """
    path = Path(folder) / CATALOGUE
    if not path.exists():
        return []
    cure = f"move it away and add the folders beside it anew, or copy it again (format {FORMAT!r} {VERSION})"
    try:
        catalogue = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); {cure}") from None
    if not isinstance(catalogue, dict) or (catalogue.get("format"), catalogue.get("format_version")) != (
        FORMAT,
        VERSION,
    ):
        raise ValueError(f"{path} is no catalogue of assets; {cure}")
    try:
        entries = [Entry(**entry) for entry in catalogue["assets"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: assets is not a list of entries ({error}); {cure}") from None
    return entries


def add_asset(folder: Path | str, name: str, thumbnail: str = "", results: Mapping[str, Any] | None = None) -> Entry:
    """Lists the asset that lies in the catalogue's folder under this name; its files are checked first.

    An asset of the same name is listed anew. Several processes may add at once. Raises what read_asset and
    read_catalogue raise, FileNotFoundError for a thumbnail that is not there; the catalogue stays as it was then.
    """
    folder = Path(folder)
    asset = read_asset(folder / name)
    if thumbnail and not (folder / thumbnail).is_file():
        raise FileNotFoundError(f"{folder / thumbnail} is missing; draw the thumbnail first, or name none")
    entry = Entry(name, thumbnail, asset.made, asset.statistics, dict(results or {}))
    with _alone(folder):
        entries = [*(other for other in read_catalogue(folder) if other.name != name), entry]
        catalogue = {"format": FORMAT, "format_version": VERSION, "assets": [asdict(entry) for entry in entries]}
        write_whole(folder / CATALOGUE, f"{json.dumps(catalogue, indent=1)}\n".encode())
    return entry


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other processes from adding between a reading and its writing."""
    with (folder / f".{CATALOGUE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

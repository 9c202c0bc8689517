"""A folder with everything a simulator and a viewer need of an object, whole or not there at all.

object.xml                          MJCF in robosuite's form, in metres, the centre of mass at the origin
visual.obj, .mtl, texture.png       what is seen; visual.glb is the same for viewers
hull_00.obj, ...                    what collides
asset.json                          "format": "psr asset", "format_version": 1
                                    "made": what it was made of and how, from the caller; "options": AssetOptions
                                    "statistics": {...}; "files": {name: sha256}
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import trimesh

from psr_core.files import file_sha256
from psr_mesh.colours import Texture, write_visual
from psr_mesh.hulls import convex_hulls
from psr_mesh.mjcf import object_mjcf
from psr_mesh.surface import Surface

FORMAT, VERSION = "psr asset", 1
CARD, MJCF = "asset.json", "object.xml"


@dataclass(frozen=True)
class AssetOptions:
    """longest_side: of the object's bounding box, in m. density: in kg/m^3, of what its surface encloses.

    hulls: convex parts at most; threshold: the concavity (0.01 to 1) that a part may keep; seed: of their search.
    Raises ValueError naming the field that is out of range.
    """

    longest_side: float = 0.07
    density: float = 300.0
    hulls: int = 16
    threshold: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "longest_side": (0.005, 2.0, "m"),
            "density": (1.0, 25_000.0, "kg/m^3"),
            "hulls": (1, 16, "hulls"),
            "threshold": (0.01, 1.0, "of concavity"),
            "seed": (0, 2**31 - 1, "as an integer"),
        }
        for name, (least, most, unit) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}, expected {least:g} to {most:g} {unit}")


@dataclass(frozen=True)
class Asset:
    """A complete folder; its name is the asset's. made, options, statistics: as its asset.json has them."""

    folder: Path
    made: Mapping[str, Any]
    options: Mapping[str, Any]
    statistics: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def mjcf(self) -> Path:
        return self.folder / MJCF


def refuse_existing(folder: Path | str) -> Path:
    """The folder as a path. Raises FileExistsError where there is something already: assets are never overwritten."""
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; name another folder, or remove this one")
    return folder


def write_asset(
    folder: Path | str,
    surface: Surface,
    texture: Texture,
    options: AssetOptions = AssetOptions(),
    made: Mapping[str, Any] | None = None,
    extras: Mapping[str, bytes] | None = None,
) -> Asset:
    """Makes the hulls, writes the folder and returns what read_asset would. made: JSON values, as prompt and seed.

    extras: further files by name, such as a thumbnail.

    The same surface, texture and options give the same bytes. Raises FileExistsError for a folder that is there,
    TypeError for `made` that is no JSON, ValueError when the mesh has no hulls.
    """
    folder = refuse_existing(folder)
    made = json.loads(json.dumps(dict(made or {})))  # before the long work
    mesh = surface.mesh.copy()
    mesh.apply_scale(options.longest_side / float(mesh.extents.max()))
    hulls = convex_hulls(mesh, options.hulls, options.threshold, options.seed)
    hull_volume = sum(hull.volume for hull in hulls)
    centre = sum(hull.volume * hull.center_mass for hull in hulls) / hull_volume  # MuJoCo's, which weighs the hulls
    for part in (mesh, *hulls):
        part.apply_translation(-centre)
    mass = options.density * float(mesh.volume)
    statistics = {
        "surface": surface.statistics(),
        "size_m": mesh.extents.round(6).tolist(),
        "volume_m3": float(mesh.volume),
        "mass_kg": mass,
        "hulls": len(hulls),
        "hull_volume_ratio": float(hull_volume / mesh.volume),
    }
    with _appearing(folder) as temporary:
        write_visual(temporary, mesh, texture)
        masses = {}
        for number, hull in enumerate(hulls):
            masses[file := f"hull_{number:02d}.obj"] = mass * float(hull.volume / hull_volume)
            (temporary / file).write_text(_obj(hull))
        (temporary / MJCF).write_text(object_mjcf(masses, *mesh.bounds))
        for file, data in (extras or {}).items():
            (temporary / file).write_bytes(data)
        files = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
        card = {
            "format": FORMAT,
            "format_version": VERSION,
            "made": made,
            "options": asdict(options),
            "statistics": statistics,
            "files": files,
        }
        (temporary / CARD).write_text(f"{json.dumps(card, indent=1)}\n")
    return Asset(folder, made, asdict(options), statistics)


def read_asset(folder: Path | str) -> Asset:
    """A folder's asset, every file of it checked.

    Raises FileNotFoundError when there is none, ValueError naming the file that is damaged, missing or of another
    format.
    """
    folder = Path(folder)
    path = folder / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {folder} is not an asset")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy or make the asset again") from None
    if not isinstance(card, dict) or (card.get("format"), card.get("format_version")) != (FORMAT, VERSION):
        raise ValueError(f"{path} does not describe an asset; expected format {FORMAT!r}, format_version {VERSION}")
    for field in ("made", "options", "statistics", "files"):
        if not isinstance(card.get(field), dict):
            raise ValueError(f"{path}: {field} is {card.get(field)!r}, expected an object; make the asset again")
    for name, digest in {MJCF: None, **card["files"]}.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ValueError(f"{file} is missing; copy or make the asset again")
        if file_sha256(file) != digest:
            raise ValueError(f"{file} is not the file that {CARD} describes (sha256); copy or make the asset again")
    return Asset(folder, card["made"], card["options"], card["statistics"])


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` in one go once all is in it, and goes when something fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    try:
        yield temporary
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _obj(mesh: trimesh.Trimesh) -> str:
    lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    return "\n".join(lines) + "\n"

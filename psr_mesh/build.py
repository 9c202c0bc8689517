"""From a field to an asset in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from psr_mesh.asset import Asset, AssetOptions, refuse_existing, write_asset
from psr_mesh.colours import bake
from psr_mesh.field import Field
from psr_mesh.surface import SurfaceOptions, extract_surface


def build_asset(
    field: Field,
    folder: Path | str,
    *,
    surface: SurfaceOptions | None = None,
    asset: AssetOptions | None = None,
    made: Mapping[str, Any] | None = None,
    extras: Mapping[str, bytes] | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[str], None] = lambda step: None,
) -> Asset:
    """The asset of a field, written to a new folder. made: noted in it; extras: further files of it, by name;
    progress: told each step as it begins.

    Raises what extract_surface and write_asset raise; nothing is left of an asset that was not completed.
    """
    refuse_existing(folder)
    progress("surface")
    found = extract_surface(field, surface or SurfaceOptions(), device)
    progress(f"colours of {found.faces} faces")
    texture = bake(field, found.mesh, device)
    progress("convex hulls, and the files")
    return write_asset(folder, found, texture, asset or AssetOptions(), made, extras)

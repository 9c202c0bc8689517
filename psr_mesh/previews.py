"""What a volume looks like: views of it, side by side or all around, as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from psr_mesh.cameras import turntable
from psr_mesh.rendering import Light, render
from psr_mesh.volume import BACKGROUND, Volume

Pixels = NDArray[np.uint8]
STRIP = (0.0, 90.0, 180.0, 270.0)  # azimuths of the views side by side


@torch.no_grad()
def look(
    volume: Volume,
    azimuths: Sequence[float],
    elevation: float = 15.0,
    size: int = 128,
    light: Light | None = None,
) -> Pixels:
    """Views (N, size, size, 3) from azimuths and an elevation in degrees, on the light background of training; without
    a light, in the colours alone."""
    field, device = volume.field(), volume.background.device
    pictures = []
    for azimuth in azimuths:
        cameras = turntable(1, elevation)
        cameras.azimuth.fill_(azimuth)
        sky = torch.full((3,), BACKGROUND, device=device)
        seen = render(field, cameras.rays(size, size).to(device), sky, intervals=96, light=light).image
        pictures.append((seen.clamp(0, 1) * 255).round().byte().view(size, size, 3).cpu().numpy())
    return np.stack(pictures)


def strip(pictures: Pixels) -> Pixels:
    """Pictures (N, H, W, 3) side by side."""
    return np.concatenate(list(pictures), 1)


def turntable_frames(volume: Volume, frames: int = 60, size: int = 192) -> Iterator[Pixels]:
    """Views (size, size, 3) once around, from the front on."""
    for i in range(frames):
        yield look(volume, [360 * i / frames], size=size)[0]

"""Pictures of solids as cameras may see them: any light, any background, not quite in the middle.

A network that has learned from these, too, takes the crop of a scene, not only a solid before nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, normalize

from psr_perception.pose.raycaster import LIGHT, cast, to_pixels
from psr_perception.pose.solids import Solid

LIGHT_SPREAD = 0.5  # of the light's direction about the ray caster's own, before it is a unit vector
AMBIENT = (0.05, 0.4)  # grey of a face without light, of one in full light
BRIGHTEST = (0.4, 1.0)  # grey of a face in full light
CLOUDS, SPECKS = 0.3, 0.03  # amplitude of a background's slow changes; largest deviation of a pixel's noise
SHIFT, ZOOM = 0.06, 0.1  # of half a picture's side; of the solid's size


def render_varied(solid: Solid, rotations: Tensor, size: int, supersampling: int = 2) -> Tensor:
    """Pictures (B, size, size) in [0, 1] of a solid under rotations (B, 3, 3), each seen in a way of its own.

    Draws from torch's own generator. Raises ValueError as render does.
    """
    normals, hit = cast(solid, rotations, size, supersampling)
    grey = _shaded(normals, rotations)
    behind = _backgrounds(len(rotations), size * supersampling).to(rotations).flatten(1)
    pictures = _moved(to_pixels(torch.where(hit, grey, behind), size, supersampling))
    noise = (SPECKS * torch.rand(len(rotations), 1, 1) * torch.randn(pictures.shape)).to(pictures)
    return (pictures + noise).clamp(0, 1)


def _shaded(normals: Tensor, rotations: Tensor) -> Tensor:
    """Greys (B, P) of matte faces with normals (B, P, 3), between Lambert's law and one that leaves no face dark."""
    count = len(rotations)
    light = normalize(torch.tensor(LIGHT) + LIGHT_SPREAD * torch.randn(count, 3), dim=-1).to(rotations)
    cosine = (normals @ (light[:, None] @ rotations).mT).squeeze(-1)
    soft, ambient, brightest = (_uniform(count, *span).to(rotations) for span in ((0.0, 1.0), AMBIENT, BRIGHTEST))
    lit = soft * ((1 + cosine) / 2) ** 2 + (1 - soft) * cosine.clamp(min=0)
    return brightest * (ambient + (1 - ambient) * lit)


def _backgrounds(count: int, side: int) -> Tensor:
    """Greys (count, side, side): two surfaces that meet in a straight line, with clouds over them."""
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    angle, at = _uniform(count, 0, math.tau)[..., None], _uniform(count, -1, 1)[..., None]
    first, second = torch.rand(2, count, 1, 1)
    surfaces = torch.where(u * angle.cos() + v * angle.sin() < at, first, second)
    clouds = interpolate(torch.rand(count, 1, 5, 5) - 0.5, size=(side, side), mode="bilinear", align_corners=True)
    return (surfaces + CLOUDS * clouds[:, 0]).clamp(0, 1)


def _moved(pictures: Tensor) -> Tensor:
    """Pictures (B, S, S), each a little larger or smaller and beside its place, its border going on outside it."""
    count = len(pictures)
    placed = torch.zeros(count, 2, 3)
    placed[:, [0, 1], [0, 1]] = _uniform(count, 1 - ZOOM, 1 + ZOOM)
    placed[:, :, 2] = SHIFT * (2 * torch.rand(count, 2) - 1)
    grid = affine_grid(placed.to(pictures), [count, 1, *pictures.shape[1:]], align_corners=False)
    return grid_sample(pictures[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _uniform(count: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(count, 1)

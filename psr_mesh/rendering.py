"""Volume rendering: what is seen along rays through a field, with gradients, and nothing computed where nothing is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from psr_core.distillation.noise import RAY, addressed_uniforms
from psr_mesh.cameras import Rays
from psr_mesh.volume import Renderable

LONGEST = 2 * math.sqrt(3)  # way through the cube
TOLERANCE = 0.01  # half of it for what is taken for empty, half for the light left where a ray is followed no further


@dataclass(frozen=True)
class Light:
    """Light from far away: albedo is seen times ambient + diffuse * max(0, normal . towards).

    towards: where it comes from, (3,) or one for each view (B, 3), of length 1.
    """

    towards: Tensor
    ambient: float = 0.5
    diffuse: float = 0.5


@dataclass(frozen=True)
class Samples:
    """N places along rays that were looked at, along each in order, the rays in theirs.

    ray: (N,) int64, its number among B * P. t: (N,) distance from the ray's origin. weights: (N,) share of the ray's
    light. normals: (N, 3) or None.
    """

    ray: Tensor
    t: Tensor
    weights: Tensor
    normals: Tensor | None


@dataclass(frozen=True)
class Rendering:
    """What rays saw. image: (B, P, 3). opacity: (B, P), 0 to 1. depth: (B, P), the mean distance of what is seen from
    the ray's origin, 0 where nothing is. normal: (B, P, 3) in the world, the mean times opacity, or None."""

    image: Tensor
    opacity: Tensor
    depth: Tensor
    normal: Tensor | None
    samples: Samples


def ray_offsets(rays: Rays, seed: int, step: int) -> Tensor:
    """Where in its intervals each ray is sampled at a step, (B, P), above 0 and below 1; view b's follow from b."""
    views, pixels = rays.directions.shape[:2]
    drawn = addressed_uniforms(pixels, seed, torch.arange(views, device=rays.origins.device), RAY, step)
    return drawn.to(rays.directions.dtype)


def render(
    field: Renderable,
    rays: Rays,
    background: Tensor,
    *,
    intervals: int = 64,
    offsets: Tensor | None = None,
    normals: bool = False,
    light: Light | None = None,
    tolerance: float = TOLERANCE,
) -> Rendering:
    """Looks along rays through the cube, each cut into as many equal intervals with a sample in each.

    background: the colour behind, broadcast to (B, P, 3). offsets: (B, P), where in its intervals a ray is sampled;
    None: in the middles. normals: whether to compute them; a light computes them in any case. tolerance: what is left
    out, being empty or hidden, changes no colour by more; 0 leaves out nothing. An interval's optical depth is the
    sample's density times its length. Sources: Max 1995; Mildenhall et al. 2020 (NeRF), equation 3; one offset a ray:
    Li et al. 2023 (nerfacc).
    """
    views, pixels = rays.directions.shape[:2]
    directions = rays.directions.reshape(-1, 3)
    origins = rays.origins[:, None].expand(-1, pixels, -1).reshape(-1, 3)
    near, length = _through_cube(origins, directions, intervals)
    at = 0.5 if offsets is None else offsets.reshape(-1, 1)
    t = near + length * (torch.arange(intervals, device=near.device, dtype=near.dtype) + at)

    kept = _not_empty(field.occupied(tolerance / 2 / LONGEST), origins, directions, t) & (length > 0)
    kept = _not_hidden(field, origins, directions, t, length, kept, tolerance / 2)
    ray, _ = where = kept.nonzero(as_tuple=True)
    points = origins[ray] + t[where][:, None] * directions[ray]
    density, colour = field.matter(points)
    _, weights = _absorb(density, length, where, t)
    normal = field.normals(points) if normals or light is not None else None
    if light is not None and normal is not None:
        towards = light.towards.expand(views, 3)[ray // pixels]
        colour = colour * (light.ambient + light.diffuse * (normal * towards).sum(1).relu())[:, None]

    parts = [torch.ones_like(weights)[:, None], t[where][:, None], colour, *([] if normal is None else [normal])]
    seen = weights[:, None] * torch.cat(parts, 1)
    sums = seen.new_zeros(len(t), seen.shape[1]).index_add(0, ray, seen).view(views, pixels, -1)
    opacity = sums[..., 0]
    return Rendering(
        image=sums[..., 2:5] + (1 - opacity[..., None]) * background,
        opacity=opacity,
        depth=sums[..., 1] / opacity.clamp(min=1e-6),
        normal=None if normal is None else sums[..., 5:],
        samples=Samples(ray, t[where], weights, normal),
    )


def _through_cube(origins: Tensor, directions: Tensor, intervals: int) -> tuple[Tensor, Tensor]:
    """Where rays (R, 3) enter the cube, or start in it, and the length of an interval of their way through it: (R, 1);
    0 for those that miss it."""
    slow = directions.abs() < 1e-9
    faces = torch.stack([-1 - origins, 1 - origins]) / torch.where(slow, 1e-9, directions)
    near = faces.amin(0).amax(1, keepdim=True).clamp(min=0)
    far = faces.amax(0).amin(1, keepdim=True)
    return near, (far - near).clamp(min=0) / intervals


def _not_empty(occupied: Tensor, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """Which samples t (R, S) are in occupied cells."""
    cells = occupied.shape[0]
    first, along = (origins + 1) * (cells / 2), directions * (cells / 2)
    x, y, z = ((first[:, i, None] + t * along[:, i, None]).int().clamp_(0, cells - 1) for i in range(3))
    return occupied.flatten()[(z * cells + y) * cells + x]


@torch.no_grad()
def _not_hidden(
    field: Renderable, origins: Tensor, directions: Tensor, t: Tensor, length: Tensor, kept: Tensor, least: float
) -> Tensor:
    """Which of the kept samples more than `least` of the light reaches."""
    ray, _ = where = kept.nonzero(as_tuple=True)
    density = field.density(origins[ray] + t[where][:, None] * directions[ray])
    light, _ = _absorb(density, length, where, t)
    kept = kept.clone()
    kept[where] = light > least
    return kept


def _absorb(density: Tensor, length: Tensor, where: tuple[Tensor, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of the light that reaches samples (N,), and the share of it that each gives: (N,) both."""
    depth = torch.zeros_like(like).index_put(where, density * length[where[0], 0])
    reaches = (depth - depth.cumsum(1)).exp()
    return reaches[where], (reaches * -torch.expm1(-depth))[where]

"""Pictures of convex solids by ray casting in torch: many rotations at once, any size, CPU or CUDA, no graphics driver.

Camera: optical frame (x right, y down, z forward), the solid's origin at (0, 0, DISTANCE), its rotation R taking object
to camera coordinates. The sphere about the solid fills 1/1.3 of the picture's side, as it would appear at its centre's
distance. Every face has one grey, by its angle to a light that is fixed in the camera's frame: turning a solid by a
symmetry of its own changes nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from psr_perception.pose.solids import RADIUS, Solid

DISTANCE = 1.5  # m
PADDING = 1.3
LIGHT = (-0.4, -0.6, -0.7)  # towards the light: left, up and behind the camera
DARKEST = 0.1  # grey of a face that looks away from the light; the background is 0
TINY = 1e-12


def intrinsics(size: int) -> tuple[float, float]:
    """Focal length and principal point (the same in x and y), pixels, of a picture of size x size."""
    return size / (2 * RADIUS) * DISTANCE / PADDING, (size - 1) / 2


def render(solid: Solid, rotations: Tensor, size: int, supersampling: int = 2) -> Tensor:
    """Pictures (B, size, size) in [0, 1] of a solid under rotations (B, 3, 3), in their dtype and on their device.

    supersampling: rays a pixel along each side; their mean is the pixel. Raises ValueError below size 1 or one ray.
    """
    normals, hit = cast(solid, rotations, size, supersampling)
    light = torch.nn.functional.normalize(torch.tensor(LIGHT, dtype=torch.float64), dim=0).to(rotations)
    lit = (1 + (normals @ (light @ rotations)[..., None]).squeeze(-1)) / 2  # half Lambert: no face is black
    return to_pixels(torch.where(hit, DARKEST + (1 - DARKEST) * lit**2, 0.0), size, supersampling)


def cast(solid: Solid, rotations: Tensor, size: int, supersampling: int) -> tuple[Tensor, Tensor]:
    """What the rays of pictures (size, size) meet: normals (B, P, 3) in the object's frame, and whether they meet any.

    P = (size supersampling)², row by row of the finer grid. Raises ValueError below size 1 or one ray.
    """
    if size < 1 or supersampling < 1:
        raise ValueError(f"size is {size} and supersampling {supersampling}, expected both to be 1 or more")
    directions = _rays(size, supersampling).to(rotations) @ rotations  # of the rays in the object's frame: Rᵀ d
    eye = -DISTANCE * rotations[:, 2]  # Rᵀ (0, 0, -DISTANCE)
    enter, leave, normals = _faces(solid, eye, directions)
    if solid.round_side is not None:
        side_enter, side_leave, side_normals = _side(*solid.round_side, eye, directions)
        normals = torch.where((side_enter > enter)[..., None], side_normals, normals)
        enter, leave = torch.maximum(enter, side_enter), torch.minimum(leave, side_leave)
    return normals, (enter < leave) & (enter > 0)


def to_pixels(rays: Tensor, size: int, supersampling: int) -> Tensor:
    """Pictures (B, size, size), a pixel the mean of its rays, of values (B, P) as cast has them."""
    return rays.reshape(len(rays), size, supersampling, size, supersampling).mean((2, 4))


def _rays(size: int, supersampling: int) -> Tensor:
    """Directions (size² supersampling², 3) float64 in the camera's frame, row by row of the finer grid; z is 1."""
    focal, centre = intrinsics(size)
    fine = (torch.arange(size * supersampling, dtype=torch.float64) + 0.5) / supersampling - 0.5
    v, u = torch.meshgrid(*[(fine - centre) / focal] * 2, indexing="ij")
    return torch.stack([u, v, torch.ones_like(u)], dim=-1).flatten(0, 1)


def _faces(solid: Solid, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays eye (B, 3) + t directions (B, P, 3) enter and leave the faces, t (B, P); normals entered by."""
    normals, offsets = solid.normals.to(eye), solid.offsets.to(eye)
    gap = (offsets - eye @ normals.mT)[:, None]  # (B, 1, m), below 0 where the eye is outside
    speed = directions @ normals.mT
    speed = torch.where(speed == 0, -TINY, speed)
    times = gap / speed
    enter = torch.where(speed < 0, times, -math.inf).max(-1)
    leave = torch.where(speed > 0, times, math.inf).amin(-1)
    return enter.values, leave, normals[enter.indices]


def _side(radius: float, taper: float, eye: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the side x² + y² = (radius - taper z)², where the radius is not negative."""
    x, y, z = (eye[:, None, i] for i in range(3))
    dx, dy, dz = directions.unbind(-1)
    r, dr = radius - taper * z, -taper * dz
    a = dx**2 + dy**2 - dr**2
    a = torch.where(a == 0, TINY, a)
    b = x * dx + y * dy - r * dr
    c = x**2 + y**2 - r**2
    discriminant = b**2 - a * c
    root = discriminant.clamp(min=0).sqrt()
    enter, leave = (-b - root) / a, (-b + root) / a
    # A ray steeper than the cone's side is inside from one root on, or up to one: where its radius is positive.
    enter = torch.where((a < 0) & (dr < 0), -math.inf, enter)
    leave = torch.where((a < 0) & (dr > 0), math.inf, leave)
    enter = torch.where((a > 0) & (discriminant < 0), math.inf, enter)
    at = enter.clamp(min=0, max=10 * DISTANCE)
    px, py, pr = x + at * dx, y + at * dy, r + at * dr
    normals = torch.stack([px, py, taper * pr], dim=-1)
    return enter, leave, torch.nn.functional.normalize(normals, dim=-1)

"""Cameras around the object: where they stand, what they are called, and the rays that their pixels look along."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from psr_core.distillation.noise import CAMERA, addressed_uniforms
from psr_core.object_folder import view_word

_NUMBERS = 8  # that a random camera is made of


@dataclass(frozen=True)
class Rays:
    """What pixels look along: from origins (B, 3) in directions (B, P, 3) of length 1."""

    origins: Tensor
    directions: Tensor

    def to(self, device: torch.device) -> Rays:
        """The same on a device."""
        return Rays(self.origins.to(device), self.directions.to(device))


@dataclass(frozen=True)
class Cameras:
    """B pinhole cameras that look at targets; z is up in their pictures.

    azimuth, elevation (-90 to 90), fov (of the picture's height): degrees (B,). Azimuth 0 sees the front, from +x, and
    90 the left, from +y (docs/object_data.md). distance: from the target (B,). target: (B, 3).
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    fov: Tensor
    target: Tensor

    def rotation(self) -> Tensor:
        """(B, 3, 3), its columns the camera's axes in the world: x right, y up, z back to where it stands."""
        around, up = self.azimuth.deg2rad(), self.elevation.deg2rad()
        level, height = up.cos(), up.sin()
        right = torch.stack([-around.sin(), around.cos(), torch.zeros_like(up)], -1)
        above = torch.stack([-height * around.cos(), -height * around.sin(), level], -1)
        back = torch.stack([level * around.cos(), level * around.sin(), height], -1)
        return torch.stack([right, above, back], -1)

    def position(self) -> Tensor:
        """(B, 3)."""
        return self.target + self.distance[:, None] * self.rotation()[:, :, 2]

    def rays(self, height: int, width: int) -> Rays:
        """Through the middles of the pixels, row by row from the top left: P is height * width."""
        like = self.azimuth
        scale = (self.fov.deg2rad() / 2).tan()[:, None, None] * 2 / height
        rows = (height - 1) / 2 - torch.arange(height, device=like.device, dtype=like.dtype)
        columns = torch.arange(width, device=like.device, dtype=like.dtype) - (width - 1) / 2
        up, right = torch.meshgrid(rows, columns, indexing="ij")
        seen = torch.stack([scale * right, scale * up, -torch.ones_like(scale * up)], -1).flatten(1, 2)
        seen = seen / seen.norm(dim=-1, keepdim=True)
        return Rays(self.position(), seen @ self.rotation().mT)

    def words(self) -> list[str]:
        """What each view is called, by the rule of the pictures that a prior learns from."""
        return [view_word(a, e) for a, e in zip(self.azimuth.tolist(), self.elevation.tolist(), strict=True)]


@dataclass(frozen=True)
class CameraRanges:
    """Where random cameras stand: (least, most) of azimuth, elevation, fov in degrees and of the distance.

    shift: most by which what is looked at is off the middle, along each axis. An object of radius 0.8 takes 0.75 to 1
    of the default pictures' height. Raises ValueError naming the field.
    """

    azimuth: tuple[float, float] = (-180.0, 180.0)
    elevation: tuple[float, float] = (-10.0, 55.0)
    distance: tuple[float, float] = (2.6, 2.9)
    fov: tuple[float, float] = (36.0, 42.0)
    shift: float = 0.03

    def __post_init__(self) -> None:
        limits = {"azimuth": (-360, 360), "elevation": (-90, 90), "distance": (0, math.inf), "fov": (1, 170)}
        for one in fields(self)[:4]:
            (low, high), (least, most) = getattr(self, one.name), limits[one.name]
            if not least <= low <= high <= most or math.isinf(high):
                raise ValueError(f"{one.name} is {low} to {high}, expected rising numbers from {least} to {most}")
        if not 0 <= self.shift <= 1:
            raise ValueError(f"shift is {self.shift}, expected a number from 0 to 1")


def random_cameras(ranges: CameraRanges, views: int, seed: int, step: int) -> Cameras:
    """Cameras of a step, on the CPU, float32; they follow from (seed, step) and their number alone.

    Azimuths are one in each of `views` equal parts of the range. An elevation is drawn uniformly of angles or of the
    sphere's area, each every other time. Source: threestudio, random camera data module.
    """
    u = addressed_uniforms(_NUMBERS, seed, torch.arange(views), CAMERA, step).float().unbind(1)
    low, high = ranges.elevation
    by_area = _between(math.sin(math.radians(low)), math.sin(math.radians(high)), u[1]).asin().rad2deg()
    return Cameras(
        _between(*ranges.azimuth, (torch.arange(views) + u[0]) / views),
        torch.where(u[2] < 0.5, by_area, _between(low, high, u[1])),
        _between(*ranges.distance, u[3]),
        _between(*ranges.fov, u[4]),
        _between(-ranges.shift, ranges.shift, torch.stack(u[5:8], -1)),
    )


def turntable(views: int, elevation: float = 15.0, distance: float = 2.75, fov: float = 39.0) -> Cameras:
    """Cameras at equal steps of azimuth around the cube's middle, the first at the front, then to the object's left."""
    azimuth = torch.arange(views) * (360 / views)
    up, away, wide = (torch.full((views,), value) for value in (elevation, distance, fov))
    return Cameras(azimuth, up, away, wide, torch.zeros(views, 3))


def _between(low: float, high: float, share: Tensor) -> Tensor:
    return low + (high - low) * share

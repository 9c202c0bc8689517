"""Fields whose volumes, centres, tunnels and colours are known: solids with an edge a few samples soft."""

from __future__ import annotations

from collections.abc import Callable

import torch

INSIDE = 60.0  # density of a solid
SOFT = 0.04  # half the thickness of its edge
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)
Distance = Callable[[torch.Tensor], torch.Tensor]


class Solid:
    """What is nearer than 0 by a signed distance (N, 3) -> (N,); red where x > 0, else blue."""

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def density(self, points: torch.Tensor) -> torch.Tensor:
        return INSIDE * torch.clamp(0.5 - self.distance(points) / (2 * SOFT), 0, 1)

    def albedo(self, points: torch.Tensor) -> torch.Tensor:
        return torch.where(points[:, :1] > 0, torch.tensor(RED), torch.tensor(BLUE))


def ball(radius: float, middle: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    return lambda points: (points - torch.tensor(middle, dtype=torch.float32)).norm(dim=1) - radius


def box(half: tuple[float, float, float]) -> Distance:
    return lambda points: (points.abs() - torch.tensor(half)).amax(1)


def torus(radius: float, thickness: float) -> Distance:
    """A ring about the z axis."""

    def distance(points: torch.Tensor) -> torch.Tensor:
        around = points[:, :2].norm(dim=1) - radius
        return torch.stack([around, points[:, 2]], 1).norm(dim=1) - thickness

    return distance


def union(*parts: Distance) -> Distance:
    return lambda points: torch.stack([part(points) for part in parts]).amin(0)


def hollow(shape: Distance, wall: float) -> Distance:
    """The shell of a shape, its wall so thick."""
    return lambda points: torch.maximum(shape(points), -shape(points) - wall)

"""An object as a volume: density and colour on voxel grids, in the cube [-1, 1]^3, z up, its front towards +x."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from psr_core.distillation.noise import PICTURE, addressed_normal

CHANNELS = 4  # of a grid's vertices: logits of density and of red, green, blue
LEVELS = (8, 16, 32)  # cells along a side that a volume starts with
DENSITY = 8.0  # for each 1 of a large logit, a unit of length: with 1 surfaces harden too slowly
BLOB = (8.0, 0.4)  # density's logit in the middle, and the radius where it is 0: DreamFusion's, but for DENSITY
ROUGHNESS = 0.1  # standard deviation of what a seed adds to the coarsest level's logits
BACKGROUND = 0.85  # of the pictures that the prior learns from, about


class Matter(NamedTuple):
    """What is at points: density (N,) >= 0, a unit of length of the cube, and albedo (N, 3), 0 to 1."""

    density: Tensor
    albedo: Tensor


class Renderable(Protocol):
    """What a renderer asks of an object in the cube; points are (N, 3)."""

    def matter(self, points: Tensor) -> Matter: ...

    def density(self, points: Tensor) -> Tensor:
        """(N,), the same as in matter()."""

    def normals(self, points: Tensor) -> Tensor:
        """(N, 3), to where density falls, of length 1 or 0."""

    def occupied(self, least: float) -> Tensor:
        """Cells of the cube (R, R, R) bool, indexed z, y, x; density is at most `least` everywhere in the others."""


class VoxelField:
    """A Renderable of logits (CHANNELS, R + 1, R + 1, R + 1) at vertices, indexed z, y, x, and linear between them."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def matter(self, points: Tensor) -> Matter:
        logits = _at(self.logits, points)
        return Matter(DENSITY * F.softplus(logits[0]), logits[1:].sigmoid().mT)

    def density(self, points: Tensor) -> Tensor:
        return DENSITY * F.softplus(_at(self.logits[:1], points)[0])

    def albedo(self, points: Tensor) -> Tensor:
        """(N, 3), the same as in matter()."""
        return _at(self.logits[1:], points).sigmoid().mT

    def normals(self, points: Tensor) -> Tensor:
        """Central differences of the density's logits at the vertices, linear between them."""
        falls = -torch.stack(torch.gradient(self.logits[0], dim=(2, 1, 0)))
        return F.normalize(_at(falls, points).mT, dim=1)

    def occupied(self, least: float) -> Tensor:
        most = self.logits[0].detach()
        for axis in range(3):  # a linear function is largest at a vertex
            cells = most.shape[axis] - 1
            most = torch.maximum(most.narrow(axis, 0, cells), most.narrow(axis, 1, cells))
        return DENSITY * F.softplus(most) > least


class Volume(nn.Module):
    """Density and albedo as parameters: the sum of voxel grids from coarse to fine, so that each scale has its own.

    resolutions: cells along a side of each level, each a multiple of the one before. seed: of the small differences
    between volumes before they are trained. It starts as a grey blob.
    background: logits (3,) of the colour behind the object, for those who wish to train it. Raises ValueError.
    Sources: Poole et al. 2022 (DreamFusion), the blob; threestudio, its softplus; Sun et al. 2022 (DVGO), a function of
    interpolated values instead of interpolated densities.
    """

    def __init__(self, resolutions: Sequence[int] = LEVELS, seed: int = 0) -> None:
        super().__init__()
        self.levels = nn.ParameterList()
        for resolution in resolutions:
            self.grow(resolution)
        coarsest = self.levels[0].data
        coarsest.copy_(addressed_normal(coarsest[None], seed, torch.zeros(1, dtype=torch.int64), PICTURE)[0])
        coarsest.mul_(ROUGHNESS)[0].add_(_blob(self.resolutions[0]))
        self.background = nn.Parameter(torch.full((3,), math.log(BACKGROUND / (1 - BACKGROUND))))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Cells along a side of each level."""
        return tuple(level.shape[-1] - 1 for level in self.levels)

    def grow(self, resolution: int) -> nn.Parameter:
        """Adds a level of this many cells along a side; the field stays what it is. Returns the level's parameter.

        Raises ValueError unless resolution is a multiple, above 1, of the finest level's.
        """
        finest = self.resolutions[-1] if self.levels else 1
        if type(resolution) is not int or resolution <= finest or resolution % finest:
            expected = "an integer above 1" if finest == 1 else f"a multiple of the finest level's {finest} above it"
            raise ValueError(f"resolution is {resolution!r}, expected {expected}")
        like = self.levels[-1] if self.levels else torch.empty(0)
        side = resolution + 1
        level = nn.Parameter(torch.zeros(CHANNELS, side, side, side, device=like.device))
        self.levels.append(level)
        return level

    def field(self) -> VoxelField:
        """The levels summed on the finest one's vertices, where each coarser is still linear between its own."""
        total = self.levels[0]
        for level in self.levels[1:]:
            size = level.shape[1:]
            total = F.interpolate(total[None], size, mode="trilinear", align_corners=True)[0] + level
        return VoxelField(total)

    def density(self, points: Tensor) -> Tensor:
        """(N,) >= 0 at points (N, 3) of the cube; for many calls, ask field() once."""
        return self.field().density(points)

    def albedo(self, points: Tensor) -> Tensor:
        """(N, 3), 0 to 1, at points (N, 3) of the cube; for many calls, ask field() once."""
        return self.field().albedo(points)

    def backdrop(self) -> Tensor:
        """The colour behind the object, (3,), 0 to 1."""
        return self.background.sigmoid()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As nn.Module's; grows first where the state has more levels."""
        for i in range(len(self.levels), sum(name.startswith("levels.") for name in state_dict)):
            self.grow(state_dict[f"levels.{i}"].shape[-1] - 1)
        return super().load_state_dict(state_dict, strict, assign)


def _at(grid: Tensor, points: Tensor) -> Tensor:
    """A grid (C, R + 1, R + 1, R + 1), indexed z, y, x, at points (N, 3): (C, N). Beyond the cube: as at its edge."""
    where = points.view(1, 1, 1, -1, 3)
    return F.grid_sample(grid[None], where, padding_mode="border", align_corners=True).view(len(grid), -1)


def _blob(resolution: int) -> Tensor:
    """The density's logit at first, (R + 1, R + 1, R + 1)."""
    height, radius = BLOB
    axis = torch.linspace(-1, 1, resolution + 1)
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).square().sum(0).sqrt()
    return height * (1 - distance / radius)

"""The five solids of SYMSOL I as convex bodies in the frames of config/symmetries, within a sphere of radius 0.5 m.

Source: Murphy et al., "Implicit representation of probability distributions on the rotation manifold" (2021); frames as
in compute_symsol_symmetries of implicit_pdf/data.py. The sizes of cone and cylinder (as high as wide) are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

RADIUS = 0.5  # m, of the sphere about the origin through every corner and edge of a solid


@dataclass(frozen=True, eq=False)
class Solid:
    """All points x with normals (m, 3) x <= offsets (m,) and, if round, within radius - taper z of the z axis.

    float64, metres. round_side: (radius, taper), taper >= 0; a cone's apex is where the radius comes to 0.
    """

    name: str
    normals: Tensor
    offsets: Tensor
    round_side: tuple[float, float] | None = None


def _platonic(name: str, directions: list[tuple[float, float, float]], corner: tuple[float, float, float]) -> Solid:
    """Faces across the directions, as far out as the corner, which lies on RADIUS, lets them be."""
    normals = torch.tensor(directions, dtype=torch.float64)
    normals = normals / normals.norm(dim=-1, keepdim=True)
    outermost = torch.tensor(corner, dtype=torch.float64)
    inner = (normals @ (RADIUS * outermost / outermost.norm())).max()
    return Solid(name, normals, inner.expand(len(normals)))


def _round(name: str, top: float, bottom: float, radius: float, taper: float) -> Solid:
    normals = torch.tensor([[0, 0, 1], [0, 0, -1]], dtype=torch.float64)
    return Solid(name, normals, torch.tensor([top, -bottom], dtype=torch.float64), (radius, taper))


_ROOT, _GOLDEN, _SIGNS = math.sqrt(2), (1 + math.sqrt(5)) / 2, (-1.0, 1.0)
_HALF = RADIUS / _ROOT  # of the cylinder's height, and its radius
_CONE = 1.6 * RADIUS  # height of the cone whose base is as wide as it is high

SOLIDS = {
    solid.name: solid
    for solid in (
        # A tetrahedron's faces lie across from its corners.
        _platonic("tetrahedron", [(0, -_ROOT, -1), (0, _ROOT, -1), (-_ROOT, 0, 1), (_ROOT, 0, 1)], (0, _ROOT, 1)),
        _platonic(
            "cube", [(s, 0, 0) for s in _SIGNS] + [(0, s, 0) for s in _SIGNS] + [(0, 0, s) for s in _SIGNS], (1, 1, 1)
        ),
        # An icosahedron's faces lie towards the corners of a dodecahedron.
        _platonic(
            "icosahedron",
            list(product(_SIGNS, repeat=3))
            + [
                face
                for s, t in product((-1 / _GOLDEN, 1 / _GOLDEN), (-_GOLDEN, _GOLDEN))
                for face in ((s, 0, t), (0, t, s), (t, s, 0))
            ],
            (0, 1, _GOLDEN),
        ),
        _round("cone", RADIUS, RADIUS - _CONE, RADIUS / 2, 0.5),
        _round("cylinder", _HALF, -_HALF, _HALF, 0.0),
    )
}

"""What objects are put together from: geoms of MuJoCo, and meshes made by turning, sweeping and extruding.

An object stands with z upwards and looks along +x: a camera there sees its front. Its unit of length is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = Sequence[float]
MAIN, SECOND, LIGHT, DARK = range(4)  # looks of a part; the caption's colour and material are those of MAIN
SIDES = 40  # of what is round
_THIN = 1e-4  # a turned profile's distance from its axis at least: faces must not be empty


@dataclass(frozen=True)
class Mesh:
    """vertices (N, 3); faces (M, 3) of their numbers, counterclockwise seen from outside."""

    vertices: Array
    faces: NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One geom. kind: MuJoCo's type; size: as MuJoCo takes it; place: the middle, or both ends of a bar (6 numbers).

    look: MAIN, SECOND, LIGHT or DARK. euler: rad, of what is no bar. mesh: for kind "mesh".
    """

    kind: str
    size: tuple[float, ...]
    place: tuple[float, ...]
    look: int = MAIN
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mesh: Mesh | None = None

    def points(self) -> Array:
        """Points (N, 3) that surround the part: none of it lies beyond them by more than a little."""
        if self.mesh is not None:
            local = self.mesh.vertices
        elif self.kind in ("capsule", "cylinder"):  # a bar: both ends, as balls
            return np.concatenate([np.reshape(end, 3) + _BALL * self.size[0] for end in np.reshape(self.place, (2, 3))])
        else:
            around = _CORNERS if self.kind == "box" else _BALL
            local = around * self.size
        return local @ rotation(self.euler).T + self.place


def block(half: Numbers, middle: Numbers, look: int = MAIN, euler: tuple[float, float, float] = (0, 0, 0)) -> Part:
    """A box of these half lengths."""
    return Part("box", tuple(half), tuple(middle), look, euler)


def ball(
    radii: float | Numbers, middle: Numbers, look: int = MAIN, euler: tuple[float, float, float] = (0, 0, 0)
) -> Part:
    """A sphere, or an ellipsoid of three radii."""
    return Part("ellipsoid", tuple(np.broadcast_to(radii, 3).tolist()), tuple(middle), look, euler)


def bar(start: Numbers, end: Numbers, radius: float, look: int = MAIN, kind: str = "capsule") -> Part:
    """A round bar between two points; kind "cylinder" ends flat."""
    return Part(kind, (radius,), (*start, *end), look)


def disc(radius: float, bottom: float, top: float, look: int = MAIN, middle: Numbers = (0, 0)) -> Part:
    """A standing cylinder between two heights."""
    return bar((*middle, bottom), (*middle, top), radius, look, "cylinder")


def turned(profile: Sequence[Numbers], look: int = MAIN, turn: Numbers = (0, 2 * np.pi), sides: int = SIDES) -> Part:
    """A profile of (radius, height), from the lowest point outside on, turned about z; of a hollow thing the inside
    follows downwards. turn: angles from +x between which it is turned, all around by default."""
    radii, heights = np.maximum(np.array(profile, float).T, [[_THIN], [-np.inf]])
    angles = np.linspace(*turn, sides + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    rows = np.concatenate(
        [radii[:, None, None] * circle, np.broadcast_to(heights[:, None, None], (len(radii), sides + 1, 1))], 2
    )
    return meshed(_sheet(rows), look)


def tube(path: Array, radius: float | Array, look: int = MAIN, sides: int = 14) -> Part:
    """A round hose along a path (N, 3) that lies in a plane; radius: one, or one for each point."""
    along = np.gradient(path, axis=0)
    if np.allclose(path[0], path[-1]):  # closed: its ends are one point
        along[[0, -1]] = path[1] - path[-2]
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.linalg.svd(path - path.mean(0))[2][2]  # the plane's normal
    other = np.cross(along, across)
    angles = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    rims = np.cos(angles) * across + np.sin(angles) * other[:, None]
    rows = path[:, None] + np.broadcast_to(radius, len(path))[:, None, None] * rims
    return meshed(_sheet(rows), look)


def extruded(outline: Sequence[Numbers], half: float, look: int = MAIN, taper: float = 1.0) -> Part:
    """An outline of (x, z), counterclockwise seen from -y and seen whole from its middle, from y = -half to half.

    taper: what the outline shrinks to, about its middle, at both ends, half of it being as it is.
    """
    flat = np.array(outline, float)
    middle = flat.mean(0)
    steps = (
        [(-half, taper), (-half / 2, 1.0), (half / 2, 1.0), (half, taper)] if taper != 1 else [(-half, 1), (half, 1)]
    )
    rings = [np.insert(middle + scale * (flat - middle), 1, y, axis=1) for y, scale in steps]
    triangles = []
    for before, after in zip(rings[:-1], rings[1:], strict=True):
        for i in range(len(flat)):
            j = (i + 1) % len(flat)
            triangles += [(before[i], before[j], after[j]), (before[i], after[j], after[i])]
    for ring, order in ((rings[0], -1), (rings[-1], 1)):
        centre = ring.mean(0)
        for i in range(len(flat)):
            corners = (ring[i], ring[(i + 1) % len(flat)])[::order]
            triangles.append((centre, *corners))
    vertices = np.array(triangles).reshape(-1, 3)  # no two faces share any, so that edges stay sharp
    return meshed(Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3)[:, ::-1]), look)


def meshed(mesh: Mesh, look: int = MAIN) -> Part:
    """A part of this mesh, where the mesh lies."""
    return Part("mesh", (), (0.0, 0.0, 0.0), look, mesh=mesh)


def arc(middle: Numbers, radii: Numbers, start: float, end: float, count: int = 20) -> Array:
    """Points (count, 3) of an ellipse in the plane of y and z; angles in rad, 0 along y."""
    angles = np.linspace(start, end, count)
    ring = np.stack([np.zeros(count), radii[0] * np.cos(angles), radii[1] * np.sin(angles)], 1)
    return ring + np.array(middle)


def smooth(points: Sequence[Numbers], count: int = 24) -> list[tuple[float, float]]:
    """A curve of (radius, height) through these points, which follow each other in height."""
    from scipy.interpolate import PchipInterpolator

    radii, heights = np.array(points, float).T
    z = np.linspace(heights[0], heights[-1], count)
    return list(zip(PchipInterpolator(heights, radii)(z).tolist(), z.tolist(), strict=True))


def hollow(outside: Sequence[tuple[float, float]], wall: float) -> list[tuple[float, float]]:
    """The profile of an open vessel: bottom, outside, rim and inside."""
    floor = outside[0][1] + wall
    inside = [(max(radius - wall, _THIN), max(height, floor)) for radius, height in reversed(outside)]
    return [(0.0, outside[0][1]), *outside, *inside, (0.0, floor)]


def rotation(euler: Numbers) -> Array:
    """(3, 3), of MuJoCo's angles: about x, then the turned y, then the z that was turned twice."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(euler), np.sin(euler)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


def _sheet(rows: Array) -> Mesh:
    """The surface through a grid (R, C, 3) of points, seen from where C runs to the right and R upwards."""
    count, across = rows.shape[:2]
    corner = (np.arange(count - 1)[:, None] * across + np.arange(across - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + across + 1], 1),
            np.stack([corner, corner + across + 1, corner + across], 1),
        ]
    )
    vertices = rows.reshape(-1, 3)
    return Mesh(vertices, faces)


_CORNERS = np.array([(x, y, z) for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
_GRID = np.array([(x, y, z) for x in (-1.0, 0, 1) for y in (-1.0, 0, 1) for z in (-1.0, 0, 1) if x or y or z])
_BALL = _GRID / np.linalg.norm(_GRID, axis=1, keepdims=True)

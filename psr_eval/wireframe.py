"""Convex solids as lines to draw over a picture: the outline, the edges that are seen, and those that are hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from psr_perception.pose.solids import Solid

ON = 1e-6  # m, within which a point lies on a surface
STEPS = 72  # of a circle
PARTS = 24  # of a straight edge, each seen or not

Array = NDArray[Any]


def edges(solid: Solid) -> list[Array]:
    """Lines (n, 3), metres in the solid's frame, along every edge."""
    return _straight_edges(solid) if solid.round_side is None else _circles(solid)


def visible(solid: Solid, points: Array, eye: Array) -> Array:
    """Which of points (n, 3) on the surface an eye (3,) outside sees: those on a face that looks towards it."""
    towards = eye - points
    normals, offsets = solid.normals.numpy(), solid.offsets.numpy()
    seen: Array = ((np.abs(points @ normals.T - offsets) < ON) & (towards @ normals.T > 0)).any(-1)
    if solid.round_side is not None:
        radius, taper = solid.round_side
        wide = radius - taper * points[:, 2]
        on = np.abs(np.hypot(points[:, 0], points[:, 1]) - wide) < ON
        outwards = np.column_stack([points[:, :2], taper * wide])
        seen = seen | (on & ((towards * outwards).sum(-1) > 0))
    return seen


@dataclass(frozen=True, eq=False)
class Lines:
    """Pixels: the outline (n, 2), and stretches (m, 2) of edges, those before the solid and those behind it."""

    outline: Array
    seen: list[Array]
    hidden: list[Array]


def drawn(solid: Solid, rotation: Array, position: Array, K: Array) -> Lines:
    """A solid's lines in an image. rotation (3, 3), position (3,) metres: of the solid in the camera's optical frame.
    K: the camera's matrix (3, 3)."""
    lines, eye = edges(solid), -rotation.T @ position
    silhouette = project(np.concatenate(lines), rotation, position, K)
    hull = ConvexHull(silhouette).vertices
    found = Lines(silhouette[np.append(hull, hull[0])], [], [])
    for line in lines:
        flags = visible(solid, line, eye)
        for stretch in np.split(np.arange(len(line)), np.flatnonzero(np.diff(flags)) + 1):
            if len(stretch) > 1:
                kind = found.seen if flags[stretch[0]] else found.hidden
                kind.append(project(line[stretch], rotation, position, K))
    return found


def project(points: Array, rotation: Array, position: Array, K: Array) -> Array:
    """Pixels (n, 2) of points (n, 3) in the solid's frame; the rest as drawn has it."""
    seen = (points @ rotation.T + position) @ K.T
    return np.asarray(seen[:, :2] / seen[:, 2:])


def _straight_edges(solid: Solid) -> list[Array]:
    """Between corners that two faces share; a corner is where three faces meet and no other cuts it off."""
    normals, offsets = solid.normals.numpy(), solid.offsets.numpy()
    corners: list[Array] = []
    for three in map(list, combinations(range(len(normals)), 3)):
        if abs(np.linalg.det(normals[three])) > ON:
            corner = np.linalg.solve(normals[three], offsets[three])
            fresh = all(np.abs(corner - other).max() > ON for other in corners)
            if fresh and (normals @ corner <= offsets + ON).all():
                corners.append(corner)
    on = np.abs(normals @ np.array(corners).T - offsets[:, None]) < ON  # face, corner
    share = np.linspace(0, 1, PARTS + 1)[:, None]
    pairs = combinations(range(len(corners)), 2)
    return [corners[i] + share * (corners[j] - corners[i]) for i, j in pairs if (on[:, i] & on[:, j]).sum() >= 2]


def _circles(solid: Solid) -> list[Array]:
    """Where the round side meets its ends."""
    assert solid.round_side is not None
    radius, taper = solid.round_side
    angles = np.linspace(0, 2 * math.pi, STEPS + 1)
    heights = (solid.normals[:, 2] * solid.offsets).tolist()
    return [
        np.column_stack([(radius - taper * z) * np.cos(angles), (radius - taper * z) * np.sin(angles), 0 * angles + z])
        for z in heights
    ]

"""Solids as wireframes with the axes of their frame, as the ray caster's camera sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_perception.pose.raycaster import DISTANCE, intrinsics
from psr_perception.pose.solids import SOLIDS, Solid

SIDES = 16  # flat ones that stand for a round side
ALIKE = 1e-6  # m
AXIS_LENGTH = 0.62  # m, from the origin, so that they come out of every solid
AXIS_COLOURS = ((235, 70, 70), (70, 200, 90), (80, 130, 255))  # RGB of x, y, z
SHIFT = 4  # binary places behind the pixel
BEHIND = 0.3  # brightness of an edge on the far side

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Wireframe:
    """Corners (n, 3) and planes normals (m, 3), offsets (m,), all float64, metres. edges: (two corners, two planes)."""

    corners: Tensor
    normals: Tensor
    offsets: Tensor
    edges: list[tuple[tuple[int, int], tuple[int, int]]]


@cache
def wireframe(shape: str) -> Wireframe:
    """Of a solid by its name; a round side is drawn as SIDES flat ones that touch it."""
    normals, offsets = _planes(SOLIDS[shape])
    triples = torch.tensor(list(combinations(range(len(normals)), 3)))
    solvable = torch.linalg.det(normals[triples]).abs() > ALIKE
    points = torch.linalg.solve(normals[triples[solvable]], offsets[triples[solvable]])
    points = points[((points @ normals.mT) <= offsets + ALIKE).all(-1)]
    corners: list[Tensor] = []
    for point in points:
        if all(float((point - corner).norm()) > ALIKE for corner in corners):
            corners.append(point)
    found = torch.stack(corners)
    on = (found @ normals.mT - offsets).abs() < 10 * ALIKE
    shared = {pair: (on[pair[0]] & on[pair[1]]).nonzero().flatten() for pair in combinations(range(len(found)), 2)}
    edges = [(pair, (int(each[0]), int(each[1]))) for pair, each in shared.items() if len(each) >= 2]
    return Wireframe(found, normals, offsets, edges)


def draw(pixels: Pixels, shape: str, rotation: Tensor, colour: tuple[int, int, int]) -> None:
    """Draw a solid in a rotation (3, 3) into a square picture (side, side, 3) RGB: edges, those behind dim, and axes x,
    y, z in red, green and blue."""
    frame, rotation = wireframe(shape), rotation.double()
    eye = -DISTANCE * rotation[2]  # in the object's frame
    faces = frame.normals @ eye > frame.offsets
    ends = _project(frame.corners @ rotation.mT, len(pixels))
    for near in (False, True):
        for pair, planes in frame.edges:
            if bool(faces[list(planes)].any()) is near:
                shade = tuple(round((1 if near else BEHIND) * channel) for channel in colour)
                _line(pixels, ends[list(pair)], shade, 1)
    tips = _project(torch.cat([torch.zeros(1, 3), AXIS_LENGTH * torch.eye(3)]).double() @ rotation.mT, len(pixels))
    for axis in torch.argsort(rotation[2], descending=True).tolist():  # the farthest first
        _line(pixels, tips[[0, axis + 1]], AXIS_COLOURS[axis], 2)


def _planes(solid: Solid) -> tuple[Tensor, Tensor]:
    if solid.round_side is None:
        return solid.normals, solid.offsets
    radius, taper = solid.round_side
    angles = 2 * math.pi / SIDES * torch.arange(SIDES, dtype=torch.float64)
    sides = torch.stack([angles.cos(), angles.sin(), torch.full_like(angles, taper)], dim=-1)
    return torch.cat([solid.normals, sides]), torch.cat([solid.offsets, torch.full_like(angles, radius)])


def _project(points: Tensor, side: int) -> NDArray[Any]:
    """Pixels (n, 2) of points (n, 3) in the camera's axes, about the solid's origin."""
    focal, centre = intrinsics(side)
    seen: NDArray[Any] = (focal * points[:, :2] / (points[:, 2:] + DISTANCE) + centre).numpy()
    return seen


def _line(pixels: Pixels, ends: NDArray[Any], colour: tuple[int, ...], thickness: int) -> None:
    begin, end = (tuple(int(v) for v in np.rint(2**SHIFT * each)) for each in ends)
    cv2.line(pixels, begin, end, colour, thickness, cv2.LINE_AA, SHIFT)

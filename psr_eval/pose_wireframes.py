"""Solids as wireframes with the axes of their frame, as the ray caster's camera sees them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from psr_eval.wireframe import drawn, project
from psr_perception.pose.raycaster import DISTANCE, intrinsics
from psr_perception.pose.solids import SOLIDS

AXIS_LENGTH = 0.62  # m, from the origin, so that they come out of every solid
AXIS_COLOURS = ((235, 70, 70), (70, 200, 90), (80, 130, 255))  # RGB of x, y, z
SHIFT = 4  # binary places behind the pixel
BEHIND = 0.3  # brightness of an edge on the far side

Pixels = NDArray[np.uint8]


def draw(pixels: Pixels, shape: str, rotation: Tensor, colour: tuple[int, int, int]) -> None:
    """Draw a solid in a rotation (3, 3) into a square picture (side, side, 3) RGB: outline and edges, those behind dim,
    and axes x, y, z in red, green and blue."""
    focal, centre = intrinsics(len(pixels))
    K = np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]])
    turn, position = rotation.double().numpy(), np.array([0.0, 0.0, DISTANCE])
    lines = drawn(SOLIDS[shape], turn, position, K)
    for line in lines.hidden:
        _line(pixels, line, tuple(round(BEHIND * channel) for channel in colour), 1)
    for line in [lines.outline, *lines.seen]:
        _line(pixels, line, colour, 1)
    tips = project(np.concatenate([np.zeros((1, 3)), AXIS_LENGTH * np.eye(3)]), turn, position, K)
    for axis in np.argsort(-turn[2]):  # the farthest first
        _line(pixels, tips[[0, axis + 1]], AXIS_COLOURS[axis], 2)


def _line(pixels: Pixels, points: NDArray[Any], colour: tuple[int, ...], thickness: int) -> None:
    fixed = np.rint(2**SHIFT * points).astype(np.int32)
    cv2.polylines(pixels, [fixed], False, colour, thickness, cv2.LINE_AA, SHIFT)

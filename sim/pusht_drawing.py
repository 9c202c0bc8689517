"""Push-T's board from above: the outline to cover, the block, the agent, and where it is being pulled."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BOARD = 512.0  # pixels of the task's own units along each side
AGENT_RADIUS = 15.0
WALL = (5.0, 506.0)
WHITE, GREY, GREEN, SLATE, BLUE, RED = (
    (255, 255, 255),
    (200, 200, 200),
    (144, 238, 144),
    (119, 136, 153),
    (65, 105, 225),
    (220, 40, 40),
)
_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel


def draw_board(
    shapes: Sequence[Array], goal: Array, block: Array, agent: Array, target: Array | None, width: int, height: int
) -> NDArray[np.uint8]:
    """Picture (height, width, 3) uint8 RGB.

    shapes: the block's polygons (V, 2) in its own frame; goal, block: x, y, angle; agent, target: x, y (target None
    before the first command). The board is stretched to the picture.
    """
    image = np.full((height, width, 3), 255, np.uint8)
    scale = np.array([width, height]) / BOARD
    low, high = (_fixed(np.array([edge, edge]), scale) for edge in WALL)
    cv2.rectangle(image, low, high, GREY, max(1, round(4 * scale.min())), cv2.LINE_AA, _SHIFT)
    for pose, colour in ((goal, GREEN), (block, SLATE)):
        for shape in shapes:
            cv2.fillPoly(
                image, [np.array([_fixed(p, scale) for p in _placed(shape, pose)])], colour, cv2.LINE_AA, _SHIFT
            )
    axes = tuple(int(AGENT_RADIUS * s * 2**_SHIFT) for s in scale)
    cv2.ellipse(image, _fixed(agent, scale), axes, 0, 0, 360, BLUE, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    if target is not None:
        x, y = (round(v) for v in target * scale)
        cv2.drawMarker(image, (x, y), RED, cv2.MARKER_CROSS, max(5, round(24 * scale.min())), 2, cv2.LINE_AA)
    return image


def _placed(shape: Array, pose: Array) -> Array:
    x, y, angle = pose
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed: Array = shape @ turn.T + [x, y]
    return placed


def _fixed(point: Array, scale: Array) -> tuple[int, int]:
    x, y = np.round(point * scale * 2**_SHIFT).astype(int)
    return int(x), int(y)

"""What the experts' motions are made of: limited steps, smooth transitions, a slow wandering, random streams."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle

OPEN, CLOSED = -1.0, 1.0
Array = NDArray[np.float64]


def limited(vector: Array, length: float) -> Array:
    """The vector, shortened to this length where it is longer."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-12))


def turned_towards(rotation: Array, target: Array, angle: float) -> Array:
    """The rotation (3, 3) turned towards the target (3, 3) by at most this angle in rad."""
    turned: Array = axis_angle_to_matrix(limited(matrix_to_axis_angle(target @ rotation.T), angle)) @ rotation
    return turned


def smooth(x: float) -> float:
    """0 below 0, 1 above 1, and in between with no corner."""
    x = min(max(float(x), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def pointing_down(yaw: float) -> Array:
    """Rotation (3, 3) of the site of a hand that points straight down, its x axis at this angle in rad."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, sin, 0], [sin, -cos, 0], [0, 0, -1.0]])


class Wander:
    """A random walk around zero, (3,), whose standard deviation is `spread` m and which forgets itself in 10 steps."""

    def __init__(self, rng: np.random.Generator, spread: float) -> None:
        self._rng, self._spread = rng, spread
        self._value: Array = np.zeros(3)

    def step(self) -> Array:
        """The next value."""
        self._value = 0.9 * self._value + math.sqrt(1 - 0.9**2) * self._rng.normal(0, self._spread, 3)
        return self._value

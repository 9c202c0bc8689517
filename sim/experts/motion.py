"""What the experts' motions are made of: limited steps, smooth transitions, a slow wandering, phases of carrying."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from sim.actions import pose_row
from sim.env import Observation

OPEN, CLOSED = -1.0, 1.0
Array = NDArray[np.float64]


def limited(vector: Array, length: float) -> Array:
    """The vector, shortened to this length where it is longer."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-12))


def turned_towards(rotation: Array, target: Array, angle: float) -> Array:
    """The rotation (3, 3) turned towards the target (3, 3) by at most this angle in rad."""
    turned: Array = axis_angle_to_matrix(limited(matrix_to_axis_angle(target @ rotation.T), angle)) @ rotation
    return turned


def row_towards(
    observation: Observation, target: Array, rotation: Array, reach: float, turn: float, fingers: float
) -> NDArray[np.float32]:
    """The row (10,) that moves the first hand by at most `reach` m and `turn` rad towards (3,), (3, 3)."""
    position = observation.eef_position + limited(target - observation.eef_position, reach)
    return pose_row(position, turned_towards(observation.eef_rotation, rotation, turn), fingers)


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


def yaw_of(rotation: Array) -> float:
    """Angle in rad of a rotation's (3, 3) x axis in the world's horizontal plane."""
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def nearest_turn(angle: float, reference: float, period: float) -> float:
    """Of angle, angle +- period, ... the one nearest to the reference, all in rad."""
    return angle + period * round((reference - angle) / period)


def finger_opening(observation: Observation) -> float:
    """How far the wider finger of the first hand is from the middle in m: 0 (closed) to 0.04 (open)."""
    return float(np.abs(observation.features["robot0_gripper_qpos"]).max())


class Phase(Enum):
    """What a hand is doing that carries something from one place to another."""

    REACH = "reach"  # fingers open, on the way to the thing
    CLOSE = "close"  # fingers closing on it
    CARRY = "carry"
    RELEASE = "release"  # fingers opening where it belongs, and away from it


class Grip:
    """Keeps the phase: on when what is seen says so, back to reaching when the thing is not in the fingers.

    thinnest: opening in m below which the fingers hold nothing.
    """

    def __init__(self, thinnest: float) -> None:
        self._thinnest = thinnest
        self._closing = 0  # control steps since the fingers began to close
        self.phase = Phase.REACH
        self.tries = 0  # grasps begun

    @property
    def command(self) -> float:
        """What to command the fingers."""
        return CLOSED if self.phase in (Phase.CLOSE, Phase.CARRY) else OPEN

    @property
    def first_try(self) -> bool:
        """Whether the first grasp is still to come, or just being made."""
        return self.tries == 0 or (self.tries == 1 and self.phase is Phase.CLOSE)

    def advance(self, observation: Observation, grasp: Array, at_grasp: bool, at_place: bool) -> None:
        """Look again. grasp (3,): where the hand has to be to hold the thing, wherever that lies now."""
        off = float(np.linalg.norm(observation.eef_position - grasp))
        empty = finger_opening(observation) < self._thinnest
        if self.phase is Phase.REACH and at_grasp:
            self.phase, self._closing, self.tries = Phase.CLOSE, 0, self.tries + 1
        elif self.phase is Phase.CLOSE:
            self._closing += 1
            still = self._closing > 4 and np.abs(observation.joint_velocities[-2:]).max() < 0.01
            if empty:
                self.phase = Phase.REACH
            elif still or self._closing > 15:
                self.phase = Phase.CARRY
        elif self.phase is Phase.CARRY and (empty or off > 0.04):
            self.phase = Phase.REACH
        elif self.phase is Phase.CARRY and at_place:
            self.phase = Phase.RELEASE
        elif self.phase is Phase.RELEASE and finger_opening(observation) > 0.038 and not observation.success:
            self.phase = Phase.REACH


class Standstill:
    """Notices a hand that is held up by something: it has hardly moved for more than 15 control steps on end."""

    def __init__(self) -> None:
        self._steps = 0
        self._last: Array = np.full(3, np.inf)

    def look(self, hand: Array) -> bool:
        """Whether the hand, now at this position (3,), stands still; to be called every control step."""
        self._steps = self._steps + 1 if np.linalg.norm(hand - self._last) < 4e-4 else 0
        self._last = hand.copy()
        return self._steps > 15


@dataclass(frozen=True)
class Pause:
    """From control step `at` on, for `length` of them, the hand moves at `pace` (0 to 1) of its speed."""

    at: int
    length: int
    pace: float


def pace(pauses: tuple[Pause, ...], step: int) -> float:
    """The speed left at a control step, 0 to 1."""
    return min((pause.pace for pause in pauses if 0 <= step - pause.at < pause.length), default=1.0)


def some_pauses(rng: np.random.Generator, until: int) -> tuple[Pause, ...]:
    """None to three hesitations, short and long, that begin before control step `until`."""
    return tuple(
        Pause(int(rng.integers(5, until)), int(rng.integers(2, 13)), rng.uniform(0, 0.4))
        for _ in range(rng.integers(0, 4))
    )


def sidestep(start: Array, now: Array, end: Array, width: float) -> Array:
    """Which way a detour of about this width in m leads off the straight line from start to end, all (2,).

    Nothing at both ends; it pulls aside until past the half, then lets go.
    """
    way = end - start
    length = max(float(np.linalg.norm(way)), 0.05)
    along = float(np.clip((now - start) @ way / length**2, 0, 1))
    aside: Array = width * smooth(2 - 4 * abs(along - 0.35)) * np.array([-way[1], way[0]]) / length
    return aside


def sideways(rng: np.random.Generator, shortest: float, longest: float) -> Array:
    """A horizontal vector (2,) of random direction, its length in m between these."""
    return _horizontal(rng.uniform(shortest, longest), rng.uniform(0, 2 * np.pi))


def backwards(rng: np.random.Generator, shortest: float, longest: float) -> Array:
    """The same within 90 degrees of the world's -x axis, towards the robot: never out of its reach."""
    return _horizontal(rng.uniform(shortest, longest), rng.uniform(0.5 * np.pi, 1.5 * np.pi))


def _horizontal(length: float, angle: float) -> Array:
    return length * np.array([np.cos(angle), np.sin(angle)])

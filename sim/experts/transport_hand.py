"""One of Transport's two hands: where it may move, when it closes and opens, and the row that commands it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quat_xyzw_to_matrix
from sim.actions import pose_row
from sim.env import Observation
from sim.experts.motion import CLOSED, OPEN, Array, limited, pointing_down, smooth, turned_towards

FACING = (1.0, -1.0)  # the world's y direction in which each arm looks: towards the other one
_JOINTS = 9  # of one arm with its two fingers
_NEAR = 0.015  # from its axis, at which a grasp is good enough: the open fingers are 2 to 3 cm off on either side
_STEEP = 0.033  # how far ahead the target is on the way into a bin or out of it, where a quick arm swings aside
_GAIN = 1.5  # of the lead over the way left: close to its base the arm's elbow swings, which pulls the hand aside
_OUTWARDS = 0.045  # from its base, by which a hand that moves sideways keeps off: close by, joints run to their limits
_SLEW = 0.03  # by which the command's lead may change in a step, which spares the wrist
_OPENED = 0.075  # between the fingers of a hand that may leave what it let go of


@dataclass(frozen=True)
class Grasp:
    """How to take a thing: the hand's position (3,) and rotation (3, 3) at it, and its width between the fingers."""

    position: Array
    rotation: Array
    width: float


class TransportHand:
    """What one hand is doing. Lengths in m.

    gripping: the fingers are to be closed; held: they closed on something; grip_rotation (3, 3): as they began to.
    """

    def __init__(self, number: int, reach: float, turn: float) -> None:
        self.number, self.reach, self.turn = number, reach, turn
        self.gripping = False
        self.held = False
        self.grip_rotation: Array = np.eye(3)
        self._lead: Array = np.zeros(3)  # of the last command over the hand
        self.base: Array | None = None  # above which it rises: where the fingers last changed their mind, (3,)

    def look(self, observation: Observation) -> None:
        """Take notice of where the hand and its fingers are now."""
        hand = observation.hands[self.number]
        self.position, self.rotation = hand.position, hand.rotation
        if self.base is None:
            self.base = hand.position
        self.opening = float(np.abs(observation.features[f"robot{self.number}_gripper_qpos"]).sum())
        fingers = observation.joint_velocities[_JOINTS * self.number + 7 : _JOINTS * (self.number + 1)]
        self._still = bool(np.abs(fingers).max() < 0.015)

    def angle_to(self, rotation: Array) -> float:
        """By how much the hand would have to turn, rad."""
        return float(np.linalg.norm(matrix_to_axis_angle(rotation @ self.rotation.T)))

    def take(self, grasp: Grasp) -> bool:
        """Close when the hand is there, open when the fingers missed or lost the thing; whether it is held."""
        away = self.position - grasp.position
        if not self.gripping:
            aside, along = split(away, grasp.rotation[:, 2])
            # the fingers take 5 steps to get there, so they set out while the hand still comes down
            there = aside < _NEAR and abs(along) < 0.018 and self.angle_to(grasp.rotation) < 0.12
            if there and self.opening > grasp.width + 0.01:
                self.gripping, self.base, self.grip_rotation = True, self.position, self.rotation
        elif np.linalg.norm(away) > 0.05 or self.opening < 0.5 * grasp.width:
            self.release()
        self.held = self.gripping and (self.held or (self._still and self.opening < grasp.width + 0.008))
        return self.held

    def release(self) -> None:
        """Open."""
        if self.gripping:
            self.base = self.position
        self.gripping = self.held = False

    def above(self, goal: Array, ceiling: float, clear: float, rim: float, angle: float = 0.0) -> Array:
        """Where to head for on the way to the goal over what stands between, (3,): up to the ceiling, across, down.

        Below `clear` the hand only rises; within `rim` of the goal's axis it descends, the later the more it still has
        to turn (angle, rad).
        """
        assert self.base is not None
        aside = float(np.linalg.norm(goal[:2] - self.position[:2])) + 0.05 * angle
        far = smooth((aside - _NEAR) / (rim - _NEAR))
        height = goal[2] + max(ceiling - goal[2], 0.0) * far
        if self.position[2] < clear:
            height = self.position[2] + np.clip(height - self.position[2], -_STEEP, _STEEP)
        free = max(1 - far, smooth((self.position[2] - clear) / max(ceiling - clear, 1e-6) * 1.5))
        # a hand that only rises would drift, so it is drawn to where it left from as long as it is near
        back = self.base[:2] - self.position[:2]
        near = 1 - smooth((float(np.linalg.norm(back)) - 0.07) / 0.07)
        start = self.position[:2] + near * limited(2 * back, 0.06)
        sideways = smooth((abs(goal[0] - self.position[0]) - 0.05) / 0.1)
        across = goal[:2] + [0, FACING[self.number] * _OUTWARDS * sideways]
        return np.array([*(start + free * (across - start)), height])

    def row(self, target: Array, rotation: Array, pace: float = 1.0) -> NDArray[np.float32]:
        """The row (10,) that moves towards the target (3,), (3, 3) at this share of the full speed."""
        if not self.gripping:
            pace *= max(0.05, smooth((self.opening - 0.045) / (_OPENED - 0.045)))
        # each axis by itself: a long way up must not weaken the hold on the others
        lead = np.clip(_GAIN * (target - self.position), -pace * self.reach, pace * self.reach)
        self._lead = self._lead + limited(lead - self._lead, _SLEW)
        turned = turned_towards(self.rotation, rotation, pace * self.turn)
        return pose_row(self.position + self._lead, turned, CLOSED if self.gripping else OPEN)


def split(offset: Array, approach: Array) -> tuple[float, float]:
    """Length of an offset (3,) across the direction of approach (3,), and along it."""
    along = float(offset @ approach)
    return float(np.linalg.norm(offset - along * approach)), along


def hand_rotation(number: int, yaw: float = 0.0, tilt: float = 0.0) -> Array:
    """Rotation (3, 3) of an arm's hand, in rad: at zero it points down with its fingers left and right of its arm.

    Tilt raises it towards the other arm, then yaw turns it about the vertical.
    """
    facing = FACING[number]
    raised = axis_angle_to_matrix(np.array([facing * tilt, 0, 0])) @ pointing_down(np.pi if number == 0 else 0.0)
    turned: Array = axis_angle_to_matrix(np.array([0, 0, yaw])) @ raised
    return turned


def handle_axis(quat_xyzw: Array, column: int) -> Array:
    """The unit vector (3,) along a thing's axis of that number, towards arm 1."""
    axis = quat_xyzw_to_matrix(quat_xyzw)[:, column]
    return axis if axis[1] >= 0 else -axis


def yaw_along(axis: Array) -> float:
    """The yaw at which the fingers stand left and right of a thing that lies along the axis (3,), rad."""
    return float(np.arctan2(-axis[0], axis[1]))


def cube_yaw(quat_xyzw: Array, other_way: bool) -> float:
    """The smallest yaw at which the fingers are square to a cube, or the next one on the other side of zero, rad."""
    rotation = quat_xyzw_to_matrix(quat_xyzw)
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    yaw = (yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4
    return yaw - np.copysign(np.pi / 2, yaw) if other_way else yaw

"""The expert for Lift with an object from a file: it grasps the object's body where that is narrowest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from psr_core.rotations import matrix_to_axis_angle, quat_xyzw_to_matrix
from sim.assets import COLLISION, load_asset, surface_points
from sim.drop_test import OPENING, narrowest
from sim.env import Observation
from sim.experts.lift import LiftExpert
from sim.experts.motion import Array, nearest_turn, pointing_down, yaw_of

TURNED = np.radians(5)  # after which the narrowest sides are looked for anew
DEEPEST = 0.03  # m below the object's top: the hand is as far above its fingers' tips
LOWEST = 0.015  # m above what the object stands on, that the grasp keeps: the fingers' tips are lower


class AssetExpert(LiftExpert):
    """LiftExpert for an object whose hulls are known: give it every observation in turn, command what it returns.

    mjcf: the object's folder, or its MJCF. Raises what load_asset raises.
    """

    version = "lift-asset-1"

    def __init__(self, seed: int, mjcf: Path | str) -> None:
        super().__init__(seed)
        model, data = load_asset(mjcf)
        _kinematics(model, data)
        self._points = surface_points(model, data, COLLISION) - data.body("object").xpos
        self._drawn = self.style
        self.tries = 0  # graspings of nothing
        self._seen: Array | None = None  # the rotation (3, 3) for which the grasp below was found
        self._middle, self._yaw = np.zeros(3), 0.0  # of the grasp, from the object's origin; of the hand, in the world

    def why_not(self) -> str:
        """In words, how far it came with an object that is not up."""
        if self._lift_from is not None:
            return "it slipped out of the fingers on the way up"
        if self._closing:
            return "the fingers closed on it at the end of the time"
        if self.tries:
            return f"the fingers closed on nothing, {self.tries} times"
        return "the hand never came to where it would close"

    def _advance(self, observation: Observation, grasp: Array, turn_left: Array) -> None:
        closing = self._closing
        super()._advance(observation, grasp, turn_left)
        self.tries += closing > 0 and self._closing == 0

    def _grasp(self, observation: Observation) -> Array:
        position, quat = observation.objects["cube"]
        self._look(quat_xyzw_to_matrix(quat))
        return position + self._middle

    def _look(self, rotation: Array) -> None:
        if self._closing or (
            self._seen is not None and np.linalg.norm(matrix_to_axis_angle(rotation @ self._seen.T)) < TURNED
        ):
            return
        self._seen = rotation
        points = self._points @ rotation.T
        normal, low, high = narrowest(points)
        # Across the fingers the middle between both sides, along them and upwards the centre of mass.
        height = max(self.style.grasp_height, points[:, 2].min() + LOWEST, points[:, 2].max() - DEEPEST)
        self._middle = np.array([*((low + high) / 2 * normal), height])
        self._aim((OPENING - (high - low)) / 2)
        self._yaw = float(np.arctan2(normal[1], normal[0])) + self.style.yaw_offset

    def _aim(self, room: float) -> None:
        """Come down so near to the middle that neither finger, with so much room (m), lands on the object."""
        self._near = min(0.008, 0.6 * max(room, 0.002))
        rim = min(self._drawn.rim, 2.5 * self._near)
        side, hover = self._drawn.side * rim / self._drawn.rim, max(self._drawn.hover, DEEPEST + 0.025)
        self.style = replace(self._drawn, rim=rim, side=side, hover=hover)

    def _grasp_rotation(self, cube_quat: Array, hand_rotation: Array) -> Array:
        return pointing_down(nearest_turn(self._yaw, yaw_of(hand_rotation), np.pi))


def _kinematics(model: Any, data: Any) -> None:
    import mujoco

    mujoco.mj_kinematics(model, data)

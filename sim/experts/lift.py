"""A scripted expert for Lift that knows the cube's pose and differs from episode to episode.

The command is always the present pose moved a limited way towards a target, and the target a continuous function of
where hand and cube are (a funnel above the cube, then the grasp, then up), so a policy can learn it from observations.
How wide the funnel is, how fast the hand moves, where it strays and pauses is drawn once per episode from its seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import matrix_to_axis_angle, quat_xyzw_to_matrix
from sim.env import Observation
from sim.experts.motion import CLOSED, OPEN, Array, Wander, pointing_down, row_towards, smooth

_STREAM = 0x11F7  # keeps the expert's random numbers apart from the scene's, which come from the same seed


@dataclass(frozen=True)
class LiftStyle:
    """How one episode is carried out. Lengths in m, angles in rad, durations in control steps."""

    hover: float  # height above the grasp at which the cube is approached
    rim: float  # lateral distance at which the descent begins
    side: Array  # (2,) lateral detour while high above the cube
    reach: float  # how far the command runs ahead of the hand, which sets the speed
    turn: float  # the same for rotation
    grasp_height: float  # against the cube's centre
    yaw_offset: float
    turn_other_way: bool  # for a cube turned by nearly 45 degrees both ways to grasp it are as good
    pause_at: int
    pause_length: int
    noise: float  # standard deviation of the slow wandering of the target
    lift: float  # how far up in the end

    @classmethod
    def draw(cls, rng: np.random.Generator) -> LiftStyle:
        """A random style."""
        angle, rim = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.06)
        return cls(
            hover=rng.uniform(0.045, 0.10),
            rim=rim,
            # well inside the rim: a hand resting on the detour would otherwise never come down
            side=rng.uniform(0, 0.6) * rim * np.array([np.cos(angle), np.sin(angle)]),
            reach=rng.uniform(0.018, 0.042),
            turn=rng.uniform(0.25, 0.5),
            grasp_height=rng.uniform(-0.006, 0.006),
            yaw_offset=rng.normal(0, np.radians(2)),
            turn_other_way=bool(rng.random() < 0.5),
            pause_at=int(rng.integers(5, 25)),
            pause_length=int(rng.integers(0, 5)),
            noise=rng.uniform(0.002, 0.008),
            lift=rng.uniform(0.08, 0.15),
        )


class LiftExpert:
    """One episode's expert: give it every observation in turn, command what it returns."""

    version = "lift-funnel-1"
    max_steps = 200

    def __init__(self, seed: int, grade: str = "proficient") -> None:
        self._rng = np.random.default_rng([seed, _STREAM])
        self.style = LiftStyle.draw(self._rng)
        self._wander = Wander(self._rng, self.style.noise)
        self._quarter: int | None = None  # which of the cube's four equal sides is grasped
        self._near = 0.008  # m aside, from which it goes all the way down
        self._closing = 0  # control steps since the fingers began to close, 0 while open
        self._lift_from: Array | None = None  # where the hand was when the lift began, (3,)

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The row (10,) to command now."""
        grasp = self._grasp(observation)
        rotation = self._grasp_rotation(observation.objects["cube"][1], observation.eef_rotation)
        turn_left = matrix_to_axis_angle(rotation @ observation.eef_rotation.T)
        self._advance(observation, grasp, turn_left)
        target = self._target(observation.eef_position, grasp, float(np.linalg.norm(turn_left)))
        slow = 0.35 if 0 <= observation.step - self.style.pause_at < self.style.pause_length else 1.0
        fingers = CLOSED if self._closing else OPEN
        return row_towards(observation, target, rotation, slow * self.style.reach, slow * self.style.turn, fingers)

    def _grasp(self, observation: Observation) -> Array:
        """Where the cube is to be taken hold of, (3,)."""
        position: Array = observation.objects["cube"][0] + [0, 0, self.style.grasp_height]
        return position

    def _advance(self, observation: Observation, grasp: Array, turn_left: Array) -> None:
        """Move on from reaching to closing to lifting, and back when the fingers closed on nothing."""
        fingers = np.abs(observation.features["robot0_gripper_qpos"])
        still = np.abs(observation.joint_velocities[-2:]).max() < 0.01
        offset = observation.eef_position - grasp
        if self._closing == 0:
            there = np.linalg.norm(offset[:2]) < 0.006 and abs(offset[2]) < 0.006 and np.linalg.norm(turn_left) < 0.12
            self._closing = int(there)
            return
        self._closing += 1
        if fingers.max() < 0.01:
            self._closing, self._lift_from = 0, None
        elif self._lift_from is None and ((self._closing > 4 and still) or self._closing > 20):
            self._lift_from = observation.eef_position.copy()

    def _target(self, hand: Array, grasp: Array, angle: float) -> Array:
        """Where the hand should be heading, (3,)."""
        wander = self._wander.step()
        if self._lift_from is not None:
            up: Array = self._lift_from + np.array([0, 0, self.style.lift])
            return up + 0.5 * wander
        if self._closing:
            return grasp
        aside = float(np.linalg.norm(hand[:2] - grasp[:2])) + 0.05 * angle
        height = self.style.hover * smooth((aside - self._near) / (self.style.rim - self._near))
        far = smooth((hand[2] - grasp[2] - 0.03) / 0.08)
        target: Array = grasp + np.array([*(far * self.style.side), height])
        return target + (0.1 + 0.9 * max(far, smooth(aside / self.style.rim))) * wander

    def _grasp_rotation(self, cube_quat: Array, hand_rotation: Array) -> Array:
        """Hand pointing straight down, fingers along the cube's sides; which sides is settled at the first call."""
        cube_rotation = quat_xyzw_to_matrix(cube_quat)
        cube_yaw = np.arctan2(cube_rotation[1, 0], cube_rotation[0, 0]) + self.style.yaw_offset
        if self._quarter is None:
            hand_yaw = np.arctan2(hand_rotation[1, 0], hand_rotation[0, 0])
            quarters = (hand_yaw - cube_yaw) / (np.pi / 2)
            self._quarter = round(quarters)
            undecided = abs(quarters - self._quarter) > 0.4
            if undecided and self.style.turn_other_way:
                self._quarter += 1 if quarters > self._quarter else -1
        yaw = cube_yaw + self._quarter * np.pi / 2
        return pointing_down(yaw)

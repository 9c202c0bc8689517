"""A scripted expert for ToolHang that knows where the pieces are and differs from episode to episode.

The command is the present pose moved a limited way towards a target, and the target a function of where hand, frame
and tool are (sim/experts/tool_hang_motion.py), so a policy can learn it from observations. The frame is grasped from
above, turned upright and put into the stand by a hand that comes from the left, so that the hook points away from the
robot; the tool is slipped over the hook's end with its handle outside, and lowered there before it is let go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.actions import pose_row
from sim.env import Observation
from sim.experts import tool_hang_motion as motion
from sim.experts.motion import CLOSED, OPEN, Array, Wander, smooth
from sim.experts.tool_hang_motion import Move, Pose, Scene

_STREAM = 0x700E  # keeps the expert's random numbers apart from the scene's, which come from the same seed
_MISSED = 0.004  # fingers that are closer by this than what they closed on hold nothing


@dataclass(frozen=True)
class ToolHangStyle:
    """How one episode is carried out. Lengths in m, angles in rad, durations in control steps."""

    heading: float  # where the hand points when it inserts the frame
    frame_along: float  # where on the frame's grip it is grasped, up from the middle
    frame_lean: float  # how far that hand points downwards (negative: upwards) once the frame is upright
    tool_along: float  # where on the tool's grip, away from the hole
    tool_lean: float
    dips: tuple[float, float]  # of the tool's handle on the way to the hook and when it is let go
    hover: float  # height above a grasp at which it is approached
    rim: float  # lateral distance at which the descent begins
    crossing: float  # height above the frame at which the empty hand passes over it
    reach: float  # how far the command runs ahead of the hand, which sets the speed
    near_reach: float  # the same where a held object is about to touch something
    turn: float  # the same for rotation
    noise: float  # standard deviation of the slow wandering of the target
    pauses: tuple[tuple[int, int], ...]  # when the hand slows down, and for how long
    fumbles: tuple[bool, bool]  # whether frame and tool are first grasped too high
    misses: tuple[Array, Array]  # (3,), how far off hole and hook are aimed at first

    @classmethod
    def draw(cls, rng: np.random.Generator, grade: str) -> ToolHangStyle:
        """A random style of this grade."""
        return _mixed(rng) if grade == "mixed" else _proficient(rng)


def _proficient(rng: np.random.Generator) -> ToolHangStyle:
    return ToolHangStyle(
        heading=-np.pi / 2 + rng.uniform(-0.05, 0.05),
        frame_along=rng.uniform(-0.012, 0.008),
        frame_lean=0.0,
        tool_along=rng.uniform(-0.01, 0.02),
        tool_lean=rng.uniform(0.31, 0.56),
        dips=(rng.uniform(0.26, 0.43), rng.uniform(0.80, 0.98)),
        hover=rng.uniform(0.05, 0.09),
        rim=rng.uniform(0.04, 0.07),
        crossing=rng.uniform(0.07, 0.1),
        reach=rng.uniform(0.06, 0.085),
        near_reach=rng.uniform(0.016, 0.025),
        turn=rng.uniform(0.2, 0.28),
        noise=rng.uniform(0.002, 0.006),
        pauses=((int(rng.integers(5, 250)), int(rng.integers(0, 5))),),
        fumbles=(False, False),
        misses=(np.zeros(3), np.zeros(3)),
    )


def _mixed(rng: np.random.Generator) -> ToolHangStyle:
    slanted, near_hole = rng.random() < 0.5, rng.random() < 0.5
    return ToolHangStyle(
        heading=-np.pi / 2 + rng.uniform(-0.12, 0.12),
        frame_along=rng.uniform(-0.018, 0.012),
        frame_lean=rng.uniform(-0.4, -0.25) if slanted else rng.uniform(-0.05, 0.1),
        tool_along=rng.uniform(-0.02, -0.005) if near_hole else rng.uniform(0.01, 0.028),
        tool_lean=rng.uniform(0.2, 0.6),
        dips=(rng.uniform(0.15, 0.5), rng.uniform(0.75, 1.0)),
        hover=rng.uniform(0.04, 0.11),
        rim=rng.uniform(0.035, 0.08),
        crossing=rng.uniform(0.065, 0.14),
        reach=rng.uniform(0.035, 0.085),
        near_reach=rng.uniform(0.012, 0.024),
        turn=rng.uniform(0.15, 0.28),
        noise=rng.uniform(0.004, 0.011),
        pauses=tuple((int(rng.integers(5, 350)), int(rng.integers(3, 13))) for _ in range(rng.integers(1, 5))),
        fumbles=(bool(rng.random() < 0.25), bool(rng.random() < 0.25)),
        misses=(_sometimes_off(rng), _sometimes_off(rng)),
    )


def _sometimes_off(rng: np.random.Generator) -> Array:
    """A horizontal offset (3,), zero more often than not."""
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.012, 0.025) * (rng.random() < 0.4)
    return length * np.array([np.cos(angle), np.sin(angle), 0.0])


class ToolHangExpert:
    """One episode's expert: give it every observation in turn, command what it returns."""

    version = "tool-hang-1"
    max_steps = 700

    def __init__(self, seed: int, grade: str = "proficient") -> None:
        rng = np.random.default_rng([seed, _STREAM])
        self.style = ToolHangStyle.draw(rng, grade)
        self._wander = Wander(rng, self.style.noise)
        self._closing = False
        self._leaving = False  # from letting the tool go until the hand is away from it
        self._fumbles = list(self.style.fumbles)
        self._misses = list(self.style.misses)

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The row (10,) to command now."""
        style, scene = self.style, Scene.seen(observation)
        move = self._insert(scene) if self._frame_is_due(scene) else self._hang(scene)
        target = Pose(move.target.position + (1 - move.near) * self._wander.step(), move.target.rotation)
        slow = 0.25 if any(0 <= observation.step - at < length for at, length in style.pauses) else 1.0
        reach = slow * (style.reach + move.near * (style.near_reach - style.reach))
        pose = motion.stepped(scene.hand, target, reach, slow * move.turn * style.turn)
        return pose_row(pose.position, pose.rotation, CLOSED if self._closing else OPEN)

    def _frame_is_due(self, scene: Scene) -> bool:
        """Whether the frame is still to be inserted or let go."""
        from_frame = np.linalg.norm(scene.hand.position - scene.frame.at(motion.FRAME_GRIP))
        from_tool = np.linalg.norm(scene.hand.position - scene.tool.position)
        held = self._closing and from_frame < 0.05 and from_tool > 0.06
        return bool(held or not scene.assembled)

    def _insert(self, scene: Scene) -> Move:
        """Fetch the frame and put it into the stand."""
        style = self.style
        if not self._holds(scene, motion.FRAME_HALF):
            return self._reach(scene, motion.frame_grasp(scene, style.frame_along, style.frame_lean), 0)
        move = motion.insertion(scene, style.heading, self._misses[0], style.turn)
        return self._carried(move, 0)

    def _hang(self, scene: Scene) -> Move:
        """Fetch the tool and hang it on the hook."""
        style = self.style
        self._leaving = self._leaving and float(np.linalg.norm(scene.hand.position - scene.tool.position)) < 0.16
        if self._leaving or (scene.hung and not self._closing):
            return motion.leaving_tool(scene)
        if not self._holds(scene, motion.TOOL_HALF):
            grasp = motion.tool_grasp(scene, style.tool_along, style.tool_lean)
            move = self._reach(scene, grasp, 1)
            return move if self._closing else motion.over_the_hook(scene, move.target, grasp, style.crossing)
        move = motion.hanging(scene, style.dips, style.tool_lean, self._misses[1], style.turn)
        self._leaving = move.release
        return self._carried(move, 1)

    def _holds(self, scene: Scene, half: float) -> bool:
        """Whether the fingers are closed on something of this half thickness; opens them when they hold nothing."""
        self._closing = self._closing and scene.fingers > half - _MISSED
        return self._closing and scene.fingers < half + 0.003

    def _reach(self, scene: Scene, grasp: Pose, which: int) -> Move:
        """Go to the grasp from above and close the fingers there."""
        closed_on_nothing = not self._closing and scene.fingers < motion.FRAME_HALF - 0.001
        self._fumbles[which] = self._fumbles[which] and not closed_on_nothing
        if self._fumbles[which]:
            grasp = Pose(grasp.position + 0.036 * motion.UP, grasp.rotation)
        if self._closing:
            return Move(grasp, near=1.0)
        offset = scene.hand.position - grasp.position
        turn_left = motion.angle_between(scene.hand.rotation, grasp.rotation)
        self._closing = bool(np.linalg.norm(offset) < 0.006 and turn_left < 0.1)
        target = motion.above_grasp(scene.hand, grasp, self.style.hover, self.style.rim)
        opening = 0.05 * motion.UP * (1 - smooth((scene.fingers - 0.022) / 0.012))  # not down before they are open
        target = Pose(target.position + opening, target.rotation)
        return Move(target, near=1 - smooth((float(np.linalg.norm(offset)) - 0.01) / 0.05))

    def _carried(self, move: Move, which: int) -> Move:
        """The move, after which the fingers let go when it says so and a first bad aim is seen to be one."""
        if move.error < 0.01:
            self._misses[which] = np.zeros(3)
        self._closing = not move.release
        return move

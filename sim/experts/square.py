"""A scripted expert for Square that knows where the nut is: it takes the handle, brings the nut over its peg, lets go.

Hand and nut are led through funnels: down where the hand is above the handle, up where the nut is not yet above the
peg and turned like it, down where it is, away where the fingers are open. All of that is seen; only the phase
(motion.Phase) is kept, and it shows in the fingers and in where the nut is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import quat_xyzw_to_matrix
from sim.env import Observation
from sim.experts.motion import (
    Array,
    Grip,
    Pause,
    Phase,
    Standstill,
    Wander,
    backwards,
    finger_opening,
    nearest_turn,
    pace,
    pointing_down,
    row_towards,
    sidestep,
    sideways,
    smooth,
    some_pauses,
    yaw_of,
)

_STREAM = 0x50A4  # keeps the expert's random numbers apart from the scene's, which come from the same seed
_PEG = np.array([0.23, 0.10])
_PEG_TOP = 0.95
_TABLE = 0.83  # height of the nut's middle when it lies there
_START_YAW = np.pi / 2  # a hand's turn counts from the yaw with which an episode begins
_LEAST_TURN, _MOST_TURN = -1.4, 1.8  # at the grasp; further, the wrist's joints come to their ends
_HANDLE_YAWS = (-np.pi / 2, np.pi / 2, np.pi)  # on the peg; pointing away from the robot it would be out of reach


@dataclass(frozen=True)
class SquareStyle:
    """How one episode is carried out. Lengths in m, angles in rad, durations in control steps."""

    along: float  # where on the handle the fingers close, from the nut's middle
    grasp_height: float  # against the nut's middle
    yaw_offset: float
    spare: float  # ways to turn are accepted that are by this much longer than the shortest
    way: float  # which of them, from 0 to 1
    hover: float  # height above the grasp at which the handle is approached
    rim: float  # lateral distance at which the descent begins
    reach: float  # how far the command runs ahead of the hand, which sets the speed
    carry_reach: float  # the same while the nut is carried
    turn: float  # the same for rotation
    carry: float  # height of the nut's middle on its way
    detour: float  # to the side of the straight line on the way, largest half-way
    drop: float  # how far below the peg's top the nut is let go
    retreat: float  # how far up in the end
    noise: float  # standard deviation of the slow wandering of the target
    pauses: tuple[Pause, ...]
    miss: Array  # (3,) the first grasp is tried this much off; high above the handle the fingers close on nothing
    stray: Array  # (2,) the first approach goes this much too far before it comes back
    overshoot: Array  # (2,) the nut is first brought this much beside the peg
    fumble: float  # how far the nut is lifted before it is let go by mistake, once; infinite for never

    @classmethod
    def draw(cls, rng: np.random.Generator, grade: str) -> SquareStyle:
        """A random style of this grade."""
        return _mixed(rng) if grade == "mixed" else _proficient(rng)


def _proficient(rng: np.random.Generator) -> SquareStyle:
    return SquareStyle(
        along=rng.uniform(0.060, 0.068),
        grasp_height=rng.uniform(0.003, 0.008),
        yaw_offset=rng.normal(0, np.radians(2)),
        spare=0.3,
        way=rng.random(),
        hover=rng.uniform(0.05, 0.09),
        rim=rng.uniform(0.07, 0.11),
        reach=rng.uniform(0.05, 0.09),
        carry_reach=rng.uniform(0.05, 0.09),
        turn=rng.uniform(0.3, 0.6),
        carry=rng.uniform(0.99, 1.02),
        detour=rng.normal(0, 0.015),
        drop=rng.uniform(0.02, 0.06),
        retreat=rng.uniform(0.06, 0.10),
        noise=rng.uniform(0.001, 0.005),
        pauses=(Pause(int(rng.integers(5, 60)), int(rng.integers(0, 5)), 0.35),),
        miss=np.zeros(3),
        stray=np.zeros(2),
        overshoot=np.zeros(2),
        fumble=np.inf,
    )


def _mixed(rng: np.random.Generator) -> SquareStyle:
    """Several ways to hold and to turn the nut, low and high and roundabout ways, hesitations, mistakes put right."""
    mistake = rng.choice(["none", "closes above", "strays", "overshoots", "fumbles"], p=[0.4, 0.15, 0.15, 0.15, 0.15])
    return SquareStyle(
        along=rng.uniform(0.056, 0.072),
        grasp_height=rng.uniform(0.002, 0.010),
        yaw_offset=rng.normal(0, np.radians(3)),
        spare=1.2,
        way=rng.random(),
        hover=rng.uniform(0.03, 0.14),
        rim=rng.uniform(0.04, 0.13),
        reach=rng.uniform(0.03, 0.09),
        carry_reach=rng.uniform(0.03, 0.09),
        turn=rng.uniform(0.2, 0.6),
        carry=rng.choice([0.985, 1.03]) + rng.uniform(0, 0.02),
        detour=rng.choice([-0.06, 0.0, 0.06]) + rng.normal(0, 0.015),
        drop=rng.choice([0.015, 0.05]) + rng.uniform(0, 0.025),
        retreat=rng.uniform(0.04, 0.14),
        noise=rng.uniform(0.003, 0.010),
        pauses=some_pauses(rng, until=130),
        miss=np.array([0, 0, rng.uniform(0.025, 0.045)]) * (mistake == "closes above"),
        stray=sideways(rng, 0.03, 0.07) * (mistake == "strays"),
        overshoot=backwards(rng, 0.03, 0.07) * (mistake == "overshoots"),
        fumble=rng.uniform(0.005, 0.03) if mistake == "fumbles" else np.inf,
    )


class SquareExpert:
    """One episode's expert: give it every observation in turn, command what it returns."""

    version = "square-1"
    max_steps = 350

    def __init__(self, seed: int, grade: str = "proficient") -> None:
        self._rng = np.random.default_rng([seed, _STREAM])
        self.style = SquareStyle.draw(self._rng, grade)
        self._wander = Wander(self._rng, self.style.noise)
        self._grip = Grip(thinnest=0.010)
        self._stray, self._overshoot = self.style.stray, self.style.overshoot  # until they have been made
        self._turns: tuple[float, float] | None = None  # the hand's at the grasp and over the peg (_decided)
        self._standstill = Standstill()
        self._back_off = False  # up again, because a finger has come down on the nut
        self._from: Array | None = None  # (2,) where the nut was taken up

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The row (10,) to command now."""
        nut, quat = observation.objects["SquareNut"]
        nut_rotation = quat_xyzw_to_matrix(quat)
        grasp = nut + nut_rotation[:, 0] * self.style.along + [0, 0, self.style.grasp_height]
        aim = grasp + (self.style.miss if self._grip.first_try else 0)
        angle = self._turn_left(observation, nut_rotation)
        self._advance(observation, nut, grasp, aim, angle)
        if self._grip.phase is Phase.CARRY:
            target, rotation = self._to_peg(observation, nut, nut_rotation, angle)
        elif self._grip.phase is Phase.RELEASE:
            target, rotation = self._away(observation)
        else:
            target, rotation = self._to_nut(observation, aim, angle)
        slow = pace(self.style.pauses, observation.step)
        ahead = slow * (self.style.reach if self._grip.phase is Phase.REACH else self.style.carry_reach)
        return row_towards(observation, target, rotation, ahead, slow * self.style.turn, self._grip.command)

    def _advance(self, observation: Observation, nut: Array, grasp: Array, aim: Array, angle: float) -> None:
        """Bring the phase up to date, and forget the mistakes that have been made."""
        off = observation.eef_position - aim
        at_grasp = np.linalg.norm(off[:2]) < 0.006 and abs(off[2]) < 0.006 and abs(angle) < 0.1
        away = nut[:2] - _PEG
        at_place = np.linalg.norm(away) < 0.015 and nut[2] < _PEG_TOP - self.style.drop + 0.006
        fumbled = self._grip.tries == 1 and nut[2] > _TABLE + self.style.fumble
        self._grip.advance(observation, grasp, bool(at_grasp), bool(at_place or fumbled))
        if self._grip.phase is Phase.REACH:
            if self._from is not None:
                self._from = self._turns = None  # another try
            self._back_off |= self._standstill.look(observation.eef_position)
            self._back_off &= off[2] < 0.8 * self.style.hover
            if np.linalg.norm(off[:2] - self._stray) < 0.02:
                self._stray = np.zeros(2)
        elif self._from is None:
            self._from = nut[:2].copy()
        if np.linalg.norm(away - self._overshoot) < 0.02:
            self._overshoot = np.zeros(2)

    def _to_nut(self, observation: Observation, aim: Array, angle: float) -> tuple[Array, Array]:
        """Where the hand should be heading to grasp the handle: position (3,), rotation (3, 3)."""
        hand = observation.eef_position
        rotation = pointing_down(_START_YAW + _turn(observation.eef_rotation) + float(np.clip(angle, -1.5, 1.5)))
        if self._grip.phase is Phase.CLOSE:
            return aim, rotation
        stray = np.array([*self._stray, 0])
        closed = max(0.0, 0.034 - finger_opening(observation))
        aside = float(np.linalg.norm((hand - aim)[:2])) + 0.06 * abs(angle) + 2 * closed
        wide = 1.0 if self._back_off else smooth((aside - 0.01) / (self.style.rim - 0.01))
        target: Array = aim + stray + [0, 0, self.style.hover * max(wide, smooth(np.linalg.norm(stray) / 0.02))]
        return target + (0.1 + 0.9 * wide) * self._wander.step(), rotation

    def _to_peg(self, observation: Observation, nut: Array, nut_rotation: Array, angle: float) -> tuple[Array, Array]:
        """Where the hand should be heading to bring the nut over the peg: position (3,), rotation (3, 3)."""
        level = _level(yaw_of(nut_rotation) + float(np.clip(angle, -1.5, 1.5)), nut_rotation[2, 2] > 0)
        turn = level @ nut_rotation.T
        left = _PEG + self._overshoot - nut[:2]
        aside = float(np.linalg.norm(left)) + 0.04 * abs(angle)
        above = smooth((aside - 0.004) / 0.035)
        free = max(smooth((nut[2] - 0.84) / 0.1), 1 - above)  # the peg is tall
        low = _PEG_TOP - self.style.drop
        height = low + above * (self.style.carry - low)
        assert self._from is not None  # the nut is being carried
        detour = sidestep(self._from, nut[:2], _PEG, self.style.detour)
        place = np.array([*(nut[:2] + free * (left + detour)), height])
        # the nut turns with the hand: from where it will be when turned, the hand is as far as now, but turned, too
        target: Array = place + turn @ (observation.eef_position - nut)
        return target + (0.1 + 0.9 * above) * self._wander.step(), turn @ observation.eef_rotation

    def _away(self, observation: Observation) -> tuple[Array, Array]:
        """Up from the nut once the fingers are open."""
        free = smooth((finger_opening(observation) - 0.018) / 0.008)
        height = _PEG_TOP - self.style.drop + free * self.style.retreat
        return np.array([*observation.eef_position[:2], height]), observation.eef_rotation

    def _turn_left(self, observation: Observation, nut_rotation: Array) -> float:
        """How far the hand has still to turn about the vertical, in rad: to the handle, or with the nut to the peg."""
        turn, nut_yaw = _turn(observation.eef_rotation), yaw_of(nut_rotation)
        if self._grip.phase is Phase.RELEASE:
            return 0.0
        if self._turns is None:
            self._turns = self._decided(turn, nut_yaw)
        if self._grip.phase is Phase.CARRY:
            return nearest_turn(-nut_yaw, self._turns[1] - turn, np.pi / 2)  # one of the peg's four sides
        across = nearest_turn(nut_yaw + self.style.yaw_offset, self._turns[0], np.pi)
        return across - turn

    def _decided(self, turn: float, nut_yaw: float) -> tuple[float, float]:
        """The hand's turns at the grasp and over the peg: two ways to hold the handle, three to put the nut down."""
        ways = []
        for grasp in (nut_yaw - np.pi, nut_yaw, nut_yaw + np.pi):
            for handle_yaw in _HANDLE_YAWS:
                over = nearest_turn(grasp + handle_yaw - nut_yaw, 0, 2 * np.pi)
                if _LEAST_TURN < grasp < _MOST_TURN and abs(over) < _MOST_TURN:
                    ways.append((abs(grasp - turn) + abs(over - grasp), grasp, over))
        accepted = sorted(way for way in ways if way[0] <= min(ways)[0] + self.style.spare)
        return accepted[int(self.style.way * len(accepted))][1:]


def _turn(hand_rotation: Array) -> float:
    """How far the hand has turned since the episode's begin, in rad, at most half a turn."""
    return nearest_turn(yaw_of(hand_rotation) - _START_YAW, 0, 2 * np.pi)


def _level(yaw: float, upright: bool) -> Array:
    """Rotation (3, 3) of a nut that lies flat, on whichever side."""
    return pointing_down(yaw) @ np.diag([1.0, -1.0, -1.0]) if upright else pointing_down(yaw)

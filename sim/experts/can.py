"""A scripted expert for Can that knows where the can is: down on it, over the bins' walls, into its compartment.

Hand and can are led through funnels: down where the hand is above the can, up where the can is not yet above its
place, down where it is, away where the fingers are open. All of that is seen; only the phase (motion.Phase) is kept,
and it shows in the fingers and in where the can is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle, quat_xyzw_to_matrix
from sim.env import Observation
from sim.experts.motion import (
    Array,
    Grip,
    Pause,
    Phase,
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
)

_STREAM = 0xCA17  # keeps the expert's random numbers apart from the scene's, which come from the same seed
# Where the can's centre is when it stands in its compartment; the middle, at 0.198, 0.403, is all but out of reach.
_PLACE = np.array([0.17, 0.36, 0.86])
_BASE = np.array([-0.5, -0.1])  # where the robot stands
_CLEAR = 0.955  # height of the can's centre at which it passes over the walls
_ALONG_Y = np.pi / 2  # the yaw with which an episode begins: fingers close along the world's y axis


@dataclass(frozen=True)
class CanStyle:
    """How one episode is carried out. Lengths in m, angles in rad, durations in control steps."""

    yaw: float  # of the hand, against the one with which the episode begins
    grasp: Array  # (3,) of the hand against the can's centre
    hover: float  # height above the grasp at which the can is approached
    rim: float  # lateral distance at which the descent begins
    reach: float  # how far the command runs ahead of the hand, which sets the speed
    carry_reach: float  # the same while the can is carried
    turn: float  # the same for rotation
    carry: float  # height of the can's centre on its way
    detour: float  # to the side of the straight line on the way, largest half-way
    place: Array  # (2,) against where cans are put
    drop: float  # height above the floor from which the can is let go
    retreat: float  # how far up in the end
    noise: float  # standard deviation of the slow wandering of the target
    pauses: tuple[Pause, ...]
    miss: Array  # (3,) the first grasp is tried this much off; high above the can the fingers close on nothing
    stray: Array  # (2,) the first approach goes this much too far before it comes back
    overshoot: Array  # (2,) the can is first brought this much beside its place
    fumble: float  # how far the can is lifted before it is let go by mistake, once; infinite for never

    @classmethod
    def draw(cls, rng: np.random.Generator, grade: str) -> CanStyle:
        """A random style of this grade."""
        return _mixed(rng) if grade == "mixed" else _proficient(rng)


def _proficient(rng: np.random.Generator) -> CanStyle:
    return CanStyle(
        yaw=rng.uniform(-0.35, 0.35),
        grasp=np.array([*rng.uniform(-0.004, 0.004, 2), rng.uniform(0.014, 0.026)]),
        hover=rng.uniform(0.05, 0.08),
        rim=rng.uniform(0.08, 0.12),
        reach=rng.uniform(0.06, 0.10),
        carry_reach=rng.uniform(0.08, 0.13),
        turn=rng.uniform(0.25, 0.5),
        carry=rng.uniform(0.99, 1.04),
        detour=rng.normal(0, 0.02),
        place=rng.uniform([-0.02, -0.02], [0.02, 0.025]),
        drop=rng.uniform(0.005, 0.035),
        retreat=rng.uniform(0.08, 0.13),
        noise=rng.uniform(0.002, 0.007),
        pauses=(Pause(int(rng.integers(5, 60)), int(rng.integers(0, 5)), 0.35),),
        miss=np.zeros(3),
        stray=np.zeros(2),
        overshoot=np.zeros(2),
        fumble=np.inf,
    )


def _mixed(rng: np.random.Generator) -> CanStyle:
    """Four ways to hold the can, low and high and roundabout ways, drops, hesitations, mistakes put right."""
    mistake = rng.choice(["none", "closes above", "strays", "overshoots", "fumbles"], p=[0.4, 0.15, 0.15, 0.15, 0.15])
    return CanStyle(
        yaw=rng.choice([-0.8, -0.3, 0.3, 0.8]) + rng.normal(0, 0.1),
        grasp=np.array([*rng.uniform(-0.008, 0.008, 2), rng.uniform(0.013, 0.03)]),
        hover=rng.uniform(0.04, 0.16),
        rim=rng.uniform(0.03, 0.12),
        reach=rng.uniform(0.03, 0.10),
        carry_reach=rng.uniform(0.04, 0.13),
        turn=rng.uniform(0.15, 0.5),
        carry=rng.choice([0.985, 1.10]) + rng.uniform(0, 0.03),
        detour=rng.choice([-0.10, 0.0, 0.10]) + rng.normal(0, 0.02),
        place=rng.uniform([-0.025, -0.025], [0.03, 0.04]),
        drop=rng.choice([0.005, 0.06]) + rng.uniform(0, 0.03),
        retreat=rng.uniform(0.06, 0.18),
        noise=rng.uniform(0.004, 0.014),
        pauses=some_pauses(rng, until=130),
        miss=np.array([0, 0, rng.uniform(0.055, 0.075)]) * (mistake == "closes above"),
        stray=sideways(rng, 0.04, 0.09) * (mistake == "strays"),
        overshoot=backwards(rng, 0.04, 0.09) * (mistake == "overshoots"),
        fumble=rng.uniform(0.01, 0.05) if mistake == "fumbles" else np.inf,
    )


class CanExpert:
    """One episode's expert: give it every observation in turn, command what it returns."""

    version = "can-1"
    max_steps = 300

    def __init__(self, seed: int, grade: str = "proficient") -> None:
        self._rng = np.random.default_rng([seed, _STREAM])
        self.style = CanStyle.draw(self._rng, grade)
        self._wander = Wander(self._rng, self.style.noise)
        self._grip = Grip(thinnest=0.018)
        self._place = _PLACE + [*self.style.place, self.style.drop]
        self._stray, self._overshoot = self.style.stray, self.style.overshoot  # until they have been made
        self._from: Array | None = None  # (2,) where the can was taken up

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The row (10,) to command now."""
        can, quat = observation.objects["Can"]
        axis = quat_xyzw_to_matrix(quat)[:, 2]
        rotation = self._rotation(observation, axis)
        turn_left = float(np.linalg.norm(matrix_to_axis_angle(rotation @ observation.eef_rotation.T)))
        upright = abs(axis[2]) > 0.7
        grasp = can + (self.style.grasp if upright else [0, 0, 0])
        aim = grasp + (self.style.miss if self._grip.first_try else 0)
        self._advance(observation, can, grasp, aim, turn_left)
        reaching = self._grip.phase in (Phase.REACH, Phase.CLOSE)
        target = self._to_can(observation, aim, turn_left) if reaching else self._to_place(observation, can, grasp)
        slow = pace(self.style.pauses, observation.step)
        ahead = slow * (self.style.reach if reaching else self.style.carry_reach)
        return row_towards(observation, target, rotation, ahead, slow * self.style.turn, self._grip.command)

    def _advance(self, observation: Observation, can: Array, grasp: Array, aim: Array, turn_left: float) -> None:
        """Bring the phase up to date, and forget the mistakes that have been made."""
        off = observation.eef_position - aim
        at_grasp = np.linalg.norm(off[:2]) < 0.008 and abs(off[2]) < 0.008 and turn_left < 0.15
        away = can - self._place
        at_place = np.linalg.norm(away[:2]) < 0.02 and away[2] < 0.008
        fumbled = self._grip.tries == 1 and can[2] > _PLACE[2] + self.style.fumble
        self._grip.advance(observation, grasp, bool(at_grasp), bool(at_place or fumbled))
        if self._grip.phase is Phase.REACH:
            self._from = None
            if np.linalg.norm(off[:2] - self._stray) < 0.02:
                self._stray = np.zeros(2)
        elif self._from is None:
            self._from = can[:2].copy()
        if np.linalg.norm(away[:2] - self._overshoot) < 0.025:
            self._overshoot = np.zeros(2)

    def _to_can(self, observation: Observation, aim: Array, turn_left: float) -> Array:
        """Where the hand should be heading to grasp the can, (3,)."""
        if self._grip.phase is Phase.CLOSE:
            return aim
        stray = np.array([*self._stray, 0])
        hand = observation.eef_position
        closed = max(0.0, 0.034 - finger_opening(observation))
        aside = float(np.linalg.norm((hand - aim)[:2])) + 0.05 * turn_left + 2 * closed
        wide = smooth((aside - 0.01) / (self.style.rim - 0.01))
        target: Array = aim + stray + [0, 0, self.style.hover * max(wide, smooth(np.linalg.norm(stray) / 0.02))]
        return target + (0.1 + 0.9 * wide) * self._wander.step()

    def _to_place(self, observation: Observation, can: Array, grasp: Array) -> Array:
        """Where the hand should be heading to bring the can to its place and to leave it there, (3,)."""
        hand = observation.eef_position
        if self._grip.phase is Phase.RELEASE:
            free = smooth((finger_opening(observation) - 0.026) / 0.008)
            return np.array([*hand[:2], grasp[2] + free * self.style.retreat])
        left = self._place[:2] + self._overshoot - can[:2]
        aside = float(np.linalg.norm(left))
        above = smooth((aside - 0.012) / 0.045)
        # over the walls only when high enough, or when they are behind
        free = max(smooth((can[2] - _CLEAR + 0.06) / 0.06), 1 - above)
        height = self._place[2] + above * (self.style.carry - self._place[2])
        assert self._from is not None  # the can is being carried
        detour = sidestep(self._from, can[:2], self._place[:2], self.style.detour)
        move = np.array([*(free * (left + detour)), height - can[2]])
        target: Array = hand + move + (0.1 + 0.9 * above) * self._wander.step()
        return target

    def _rotation(self, observation: Observation, axis: Array) -> Array:
        """Hand pointing down, more and more outwards far from the base; across the can where it lies on its side.

        axis (3,): the can's.
        """
        yaw = _ALONG_Y + self.style.yaw
        if abs(axis[2]) < 0.7 and self._grip.phase is Phase.REACH:
            yaw = nearest_turn(float(np.arctan2(axis[1], axis[0])) + np.pi / 2, _ALONG_Y, np.pi)
        out = observation.eef_position[:2] - _BASE
        distance = float(np.linalg.norm(out))
        tilt = 0.4 * smooth((distance - 0.74) / 0.18)  # straight down, the arm reaches no further than 0.8 m
        rotation: Array = axis_angle_to_matrix(tilt / distance * np.array([out[1], -out[0], 0])) @ pointing_down(yaw)
        return rotation

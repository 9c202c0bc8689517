"""How one episode of Transport is carried out: what its expert draws once from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.experts.motion import Array


@dataclass(frozen=True)
class TransportStyle:
    """Lengths in m, angles in rad, durations in control steps; a pair has one number for each arm."""

    reach: tuple[float, float]  # how far the command runs ahead of the hand, which sets the speed
    turn: float  # the same for rotation
    noise: float  # standard deviation of the slow wandering of the targets
    ceiling: tuple[float, float]  # height at which things are carried over the bins' walls
    rim: float  # lateral distance at which the descent begins
    grasp_height: float  # against the middle of what is grasped
    yaw_offset: float
    lid_along: float  # where along its handle the lid is taken
    lid_place: Array  # (2,)
    lid_drop: float  # height above the table from which the lid falls
    trash_place: Array  # (2,) from the middle of the trash bin
    trash_drop: float  # height of the hand when it lets the cube fall
    tail: tuple[float, float]  # where arm 0 takes the hammer, from its middle: with the head on its side, or beyond
    front: tuple[float, float]  # the same for arm 1
    meet: Array  # (3,) where the hammer's middle is handed over
    tilt: tuple[float, float]  # of the hands at the handover
    retreat: float  # from where arm 1 waits to the hammer
    hammer_place: Array  # (2,) from the middle of the target bin
    hammer_drop: float  # height of the hammer when it is let go
    place_yaw: float
    place_tilt: float
    rest: tuple[Array, Array]  # (3,) where the hands go in the end
    too_high: tuple[float, float, float] = (0.0, 0.0, 0.0)  # by which lid, trash, hammer are missed at first
    trash_other_way: bool = False  # the cube is taken by the sides that are farther to turn to
    after_lid: bool = False  # arm 1 sets out only once the lid is up
    pauses: tuple[tuple[int, int, int], ...] = ()  # (arm, first step, steps) of going slowly

    @classmethod
    def draw(cls, rng: np.random.Generator, grade: str) -> TransportStyle:
        """A random style of a grade."""
        clean = _clean(rng)
        return clean if grade == "proficient" else _mixed(clean, rng)


def _clean(rng: np.random.Generator) -> TransportStyle:
    def box(*half: float) -> Array:
        return rng.uniform(-1, 1, len(half)) * half

    return TransportStyle(
        reach=(rng.uniform(0.075, 0.10), rng.uniform(0.055, 0.09)),
        turn=rng.uniform(0.3, 0.5),
        noise=rng.uniform(0.002, 0.006),
        ceiling=(rng.uniform(1.015, 1.035), rng.uniform(1.03, 1.06)),
        rim=rng.uniform(0.05, 0.08),
        grasp_height=rng.uniform(0.0, 0.006),
        yaw_offset=rng.normal(0, np.radians(2)),
        lid_along=rng.uniform(-0.012, 0.012),
        lid_place=np.array([-0.205, -0.435]) + box(0.02, 0.02),
        lid_drop=rng.uniform(0.004, 0.02),
        # away from arm 1, whose wrist comes close to a singularity over the far side of the bin
        trash_place=np.array([-0.02, -0.05]) + box(0.03, 0.02),
        trash_drop=rng.uniform(0.96, 1.0),
        tail=(rng.uniform(0.035, 0.055), rng.uniform(0.02, 0.032)),
        front=(rng.uniform(0.074, 0.084), rng.uniform(0.053, 0.063)),
        meet=np.array([0.0, -0.02, 1.07]) + box(0.05, 0.02, 0.03),
        tilt=(np.radians(rng.uniform(10, 18)), np.radians(rng.uniform(25, 33))),
        retreat=rng.uniform(0.10, 0.13),
        hammer_place=np.array([0, -0.045]) + box(0.015, 0.01),
        hammer_drop=rng.uniform(0.93, 0.96),
        place_yaw=np.radians(rng.uniform(-70, -50)),
        place_tilt=np.radians(rng.uniform(3, 15)),
        rest=(
            np.array([0, -0.38, 1.06]) + box(0.08, 0.04, 0.03),
            np.array([-0.05, 0.36, 1.08]) + box(0.08, 0.04, 0.03),
        ),
    )


def _mixed(clean: TransportStyle, rng: np.random.Generator) -> TransportStyle:
    """The same with other strategies (lid dropped or laid, cube thrown or lowered, either side of the cube, arms one
    after another or at once, arm 0 gives or arm 1 fetches), with misses, slow spells and more noise."""
    too_high = np.where(rng.random(3) < 0.25, rng.uniform([0.03, 0.036, 0.03], [0.036, 0.042, 0.036]), 0.0)
    towards = rng.uniform(0.0, 0.04) if rng.random() < 0.5 else rng.uniform(-0.10, -0.06)
    return replace(
        clean,
        reach=(rng.uniform(0.05, 0.10), rng.uniform(0.045, 0.09)),
        noise=rng.uniform(0.004, 0.012),
        yaw_offset=rng.normal(0, np.radians(4)),
        lid_drop=rng.uniform(0.05, 0.11) if rng.random() < 0.4 else clean.lid_drop,
        trash_drop=rng.uniform(0.92, 0.95) if rng.random() < 0.4 else rng.uniform(0.98, 1.02),
        trash_other_way=bool(rng.random() < 0.3),
        after_lid=bool(rng.random() < 0.35),
        meet=np.array([rng.uniform(-0.08, 0.08), towards, clean.meet[2]]),
        tilt=(np.radians(rng.uniform(8, 20)), np.radians(rng.uniform(24, 35))),
        too_high=(float(too_high[0]), float(too_high[1]), float(too_high[2])),
        pauses=tuple(
            (int(rng.integers(2)), int(rng.integers(5, 220)), int(rng.integers(3, 16))) for _ in range(rng.integers(4))
        ),
    )

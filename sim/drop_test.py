"""Whether an object behaves in the simulator: it is dropped onto a floor, and must lie still there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull

from sim.assets import COLLISION, VISUAL, Array, load_asset, stand, surface_points

HEIGHT = 0.02  # m, that it falls
LONGEST = 6.0  # s, that it may take to lie still
STILL = 0.5  # s, that it must
SPEED = 0.01  # m/s, of its middle, that counts as still
TURN_RATE = 0.3  # rad/s, likewise
GAP = 0.03  # of its longest side, between the floor and the lowest visible point, either way
RISE = 0.01  # m, above where it was let go
DRIFT = 0.5  # m, sideways
# Free motion is slowed down with this rate (1/s): what is round would roll on for ever.
DRAG = 1.0
OPENING = 0.08  # m, of the Panda's gripper
CLEARANCE = 0.004  # m, of the opening that must remain


@dataclass(frozen=True)
class DropResult:
    """What was measured, and `problems` in words; none when the object passed.

    seconds: until it lay still, LONGEST when it never did. speed (m/s) and turn_rate (rad/s): the largest in the last
    STILL seconds. gap: m from the floor to the lowest visible point in the end, below 0 when it sank in. rise, drift:
    m, upwards and sideways, the largest on the way. tilt: degrees from how it stood to how it lies. width: m, the
    narrowest of the horizontal widths as it lies; graspable: whether the Panda's fingers fit around that.
    """

    seconds: float
    speed: float
    turn_rate: float
    gap: float
    rise: float
    drift: float
    tilt: float
    width: float
    graspable: bool
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


def drop_test(mjcf: Path | str) -> DropResult:
    """Drop the object of an MJCF file (robosuite's form) upright onto a floor. Raises what load_asset raises."""
    model, data = _held_up(mjcf)
    longest = float(np.ptp(surface_points(model, data, VISUAL), axis=0).max())
    seconds, speed, turn_rate, rise, drift = _fall(model, data)
    shape = surface_points(model, data, VISUAL)
    finite = bool(np.isfinite(shape).all())
    gap = float(shape[:, 2].min()) if finite else np.nan
    width = narrowest_width(surface_points(model, data, COLLISION)) if finite else np.nan
    upright = np.clip(data.xmat[model.body("object").id][8], -1, 1)
    problems = {
        f"it never lies still for {STILL} s: {speed:.3g} m/s, {turn_rate:.3g} rad/s": seconds >= LONGEST,
        f"it sinks {-gap:.2g} m into the floor: its hulls do not fill it": not gap >= -GAP * longest,
        f"it hovers {gap:.2g} m above the floor: its hulls are larger than it": gap > GAP * longest,
        f"it jumps {rise:.2g} m up: its hulls are thrown out of the floor": not rise <= RISE,
        f"it moves {drift:.2g} m sideways": not drift <= DRIFT,
    }
    return DropResult(
        seconds=seconds,
        speed=speed,
        turn_rate=turn_rate,
        gap=gap,
        rise=rise,
        drift=drift,
        tilt=float(np.degrees(np.arccos(upright))),
        width=width,
        graspable=bool(width <= OPENING - CLEARANCE),
        problems=tuple(text for text, holds in problems.items() if holds),
    )


def drop(mjcf: Path | str) -> tuple[Any, Any]:
    """The model and data of an object after its fall, kinematics current. Raises what load_asset raises."""
    model, data = _held_up(mjcf)
    _fall(model, data)
    return model, data


def narrowest_width(points: Array) -> float:
    """The smallest distance (m) between two upright, parallel planes that points (N, 3) fit between.

    Of a mug that is its body: that a handle or a rim is thinner does not count.
    """
    _, low, high = narrowest(points)
    return high - low


def narrowest(points: Array) -> tuple[Array, float, float]:
    """Those two planes: their normal (2,), and where they are along it."""
    flat = ConvexHull(points[:, :2])
    # Between the narrowest pair of lines one lies along an edge of the convex hull, whose equations are normal, offset.
    along = flat.equations[:, :2] @ flat.points[flat.vertices].T
    edge = np.argmin(np.ptp(along, axis=1))
    return flat.equations[edge, :2], float(along[edge].min()), float(along[edge].max())


def _held_up(mjcf: Path | str) -> tuple[Any, Any]:
    """The object where it is let go, its free motion damped."""
    model, data = load_asset(mjcf)
    stand(model, data, HEIGHT)
    model.dof_damping[:3] = DRAG * model.body("object").mass
    model.dof_damping[3:] = DRAG * model.body("object").inertia
    return model, data


def _fall(model: Any, data: Any) -> tuple[float, float, float, float, float]:
    """Seconds until it lay still, speed and turn rate of the last STILL seconds, rise and drift."""
    import mujoco

    start, window = data.qpos[:3].copy(), round(STILL / model.opt.timestep)
    speeds, rise, drift = [], 0.0, 0.0
    for step in range(round(LONGEST / model.opt.timestep)):
        mujoco.mj_step(model, data)
        speeds.append((np.linalg.norm(data.qvel[:3]), np.linalg.norm(data.qvel[3:])))
        rise = max(rise, float(data.qpos[2] - start[2]))
        drift = max(drift, float(np.linalg.norm(data.qpos[:2] - start[:2])))
        speed, turn_rate = np.max(speeds[-window:], axis=0)
        if step >= window and speed < SPEED and turn_rate < TURN_RATE:
            mujoco.mj_kinematics(model, data)
            return float(data.time), float(speed), float(turn_rate), rise, drift
        if drift > DRIFT or rise > 1 or not np.isfinite(data.qpos).all():
            break
    mujoco.mj_kinematics(model, data)
    return LONGEST, float(speed), float(turn_rate), rise, drift

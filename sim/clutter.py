"""Objects from files that stand about in a task's scene, each in its place by the episode's seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from robosuite.models.objects import MujocoXMLObject

from sim.assets import COLLISION, Array, asset_files, surface_points
from sim.drop_test import drop
from sim.extras import MOST_CLUTTER

CLEARANCES = (0.05, 0.02, 0.005)  # m to everything else but what it stands on; the first that there is room for
TRIES = 100  # places, for each of them
EDGE = 0.08  # m from an object's middle to the edge of a table
REACH = 0.25  # m from the middle of a table, further out than which nothing is put
ABOVE = 0.001  # m that an object is put above where it will stand
_ASIDE = 10.0  # m behind the camera, where objects wait that there is no room for
_STREAM = 0xC1077E2  # keeps these random numbers apart from the scene's, which come from the same seed


@dataclass(frozen=True)
class _Lying:
    """An object as it lies after a fall: rotation (3, 3), and how far (m) its origin is above its lowest point."""

    mjcf: Path
    rotation: Array
    height: float


class Clutter:
    """`count` of the objects in a folder, a catalogue's or one asset's; which and where follows from choose's seed.

    Each is dropped once, and put down later as it lay then. Raises FileNotFoundError where there are none, ValueError
    for a count out of range or an object that cannot be simulated.
    """

    def __init__(self, folder: Path | str, count: int) -> None:
        if not 1 <= count <= MOST_CLUTTER:
            raise ValueError(f"clutter_count is {count}, expected 1 to {MOST_CLUTTER} objects")
        self._things = [_lying(mjcf) for mjcf in asset_files(folder)]
        self._count = count
        self.choose(0)

    def choose(self, seed: int) -> None:
        """Settle which objects the next scene has, and from where their places come."""
        self._rng = np.random.default_rng([seed, _STREAM])
        few = len(self._things) < self._count
        chosen = self._rng.choice(len(self._things), self._count, replace=few)
        self._chosen = [self._things[number] for number in chosen]

    def objects(self) -> list[MujocoXMLObject]:
        """What a robosuite model has to have in it."""
        made = []
        for number, thing in enumerate(self._chosen):
            one = MujocoXMLObject(str(thing.mjcf), name=_name(number), duplicate_collision_geoms=False)
            one.get_obj().set("pos", " ".join(map(str, _aside(number))))
            made.append(one)
        return made

    def place(self, model: Any, data: Any, middle: Array, size: Array) -> int:
        """Put them onto a table, or into a bin; returns for how many there was room.

        middle (2,): of the table, in the world; size (2,): its sides in m. data: of a scene whose other things are in
        their places; its kinematics are current afterwards.
        """
        import mujoco

        for number in range(self._count):
            data.joint(_joint(number)).qpos[:3] = _aside(number)
        mujoco.mj_kinematics(model, data)
        top = np.array([*middle, _surface(model, data, middle)])
        reach = np.minimum(size / 2 - EDGE, REACH)
        placed = sum(self._place(model, data, number, top, reach) for number in range(self._count))
        mujoco.mj_forward(model, data)
        return placed

    def _place(self, model: Any, data: Any, number: int, top: Array, reach: Array) -> bool:
        thing = self._chosen[number]
        body = model.body(f"{_name(number)}_main").id
        joint = data.joint(_joint(number))
        for clearance in CLEARANCES:
            for x, y, yaw in self._rng.uniform([-1, -1, -np.pi], [1, 1, np.pi], (TRIES, 3)):
                middle = top + [x * reach[0], y * reach[1], thing.height + ABOVE]
                turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
                joint.qpos[3:] = _quat_wxyz(turn @ thing.rotation)
                joint.qpos[:3] = middle + [0, 0, clearance]  # so that what it will stand on is not too near
                if not _near(model, data, body, clearance):
                    joint.qpos[:3] = middle
                    return True
        joint.qpos[:3] = _aside(number)
        return False


def cluttered(kind: type[Any], clutter: Clutter) -> type[Any]:
    """A robosuite environment's class with these objects on its table, or in the bin that its task starts from."""

    class Cluttered(kind):  # type: ignore[misc, valid-type]
        def _load_model(self) -> None:
            super()._load_model()
            self.model.merge_objects(clutter.objects())

        def _reset_internal(self) -> None:
            super()._reset_internal()
            arena = self.model.mujoco_arena
            model, data = self.sim.model._model, self.sim.data._data
            clutter.place(model, data, arena.table_top_abs[:2], arena.table_full_size[:2])

    return Cluttered


def _surface(model: Any, data: Any, place: Array) -> float:
    """Height in m of the highest fixed box over this place (2,)."""
    import mujoco

    fixed = (model.body_weldid[model.geom_bodyid] == 0) & (model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    over = np.all(np.abs(data.geom_xpos[:, :2] - place) < model.geom_size[:, :2], axis=1)
    boxes = fixed & over & (model.geom_group == COLLISION)
    return float((data.geom_xpos + model.geom_size)[boxes, 2].max())


def _near(model: Any, data: Any, body: int, clearance: float) -> bool:
    """Whether anything that collides is nearer than this to a body."""
    import mujoco

    geoms = np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == COLLISION))
    before = model.geom_margin[geoms], model.body_margin[body].copy()
    # MuJoCo tells of whatever comes closer than the margin as of a contact.
    model.geom_margin[geoms], model.body_margin[body] = 0.99 * clearance, 0.99 * clearance
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)
    model.geom_margin[geoms], model.body_margin[body] = before
    return bool(np.isin(data.contact.geom, geoms).any())


def _lying(mjcf: Path) -> _Lying:
    model, data = drop(mjcf)
    body = data.body("object")
    points = surface_points(model, data, COLLISION)
    return _Lying(mjcf, body.xmat.reshape(3, 3).copy(), float(body.xpos[2] - points[:, 2].min()))


def _name(number: int) -> str:
    return f"clutter{number}"


def _joint(number: int) -> str:
    return f"{_name(number)}_joint0"


def _aside(number: int) -> tuple[float, float, float]:
    return _ASIDE + number, 0.0, 1.0


def _quat_wxyz(rotation: Array) -> Array:
    import mujoco

    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    return quat

"""robosuite's Lift with another object in the cube's place, under the cube's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robosuite.environments.manipulation.lift import Lift
from robosuite.models.objects import MujocoXMLObject
from robosuite.models.tasks import ManipulationTask

from sim.assets import COLLISION, asset_file, load_asset, surface_points

RAISED = 0.02  # m above the table, of the object's lowest point; a cube has risen as much when robosuite says "lifted"


class LiftAsset(Lift):
    """asset: the object's folder, or its MJCF. Its place and turn follow from the seed as the cube's do.

    Raises what load_asset raises, before anything is made.
    """

    def __init__(self, *args: Any, asset: Path | str, **kwargs: Any) -> None:
        load_asset(asset)
        self._asset = str(asset_file(asset))
        super().__init__(*args, **kwargs)

    def _load_model(self) -> None:
        super()._load_model()
        arena = self.model.mujoco_arena
        self.cube = MujocoXMLObject(self._asset, name="cube", duplicate_collision_geoms=False)
        self.placement_initializer.reset()
        self.placement_initializer.add_objects(self.cube)
        robots = [robot.robot_model for robot in self.robots]
        self.model = ManipulationTask(mujoco_arena=arena, mujoco_robots=robots, mujoco_objects=self.cube)

    def _check_success(self) -> bool:
        points = surface_points(self.sim.model._model, self.sim.data._data, COLLISION, self.cube_body_id)
        return bool(points[:, 2].min() > self.model.mujoco_arena.table_offset[2] + RAISED)

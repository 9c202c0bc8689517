"""The environment of a task, whichever library simulates it."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from sim.env import Observation, SimEnv
from sim.extras import Extras
from sim.rendering import CameraConfig, CameraImages
from sim.tasks import Task, get_task


class Environment(Protocol):
    """What episodes need of a task; see SimEnv, whose methods these are."""

    task: Task
    version: str

    def reset(self, seed: int) -> Observation: ...

    def step(self, row: ArrayLike) -> Observation: ...

    def check_rows(self, rows: ArrayLike) -> None: ...

    def images(self, seconds: float = 0.0) -> CameraImages: ...

    def close(self) -> None: ...


def make_env(task: str, camera: CameraConfig | None = None, extras: Extras | None = None) -> Environment:
    """The environment of the task of that name.

    Raises ValueError naming the tasks there are, or those that take the extras; FileNotFoundError for missing assets.
    """
    if get_task(task).simulator == "robosuite" or extras:
        return SimEnv(task, camera, extras)
    from sim.pusht import PushTEnv  # pygame and its kin take a while to import

    return PushTEnv(task, camera)

"""Push-T as a plain object: reset with a seed, step with a row of two numbers (the target position), look at it.

The physics and the goal are gym-pusht's. What is observed, and where a seed puts things, is what the Diffusion Policy
project's key-point environment has (Chi et al. 2023, legacy_test True). Lengths are pixels of a 512 x 512 board, x to
the right and y down; angles turn clockwise as seen on the board.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.env import Observation
from sim.object_features import Hand
from sim.pusht_drawing import draw_board
from sim.rendering import CameraConfig, CameraImages
from sim.tasks import PUSHT_POINTS, Task, get_task

Array = NDArray[np.float64]

# The nine observed points in the block's frame. The reference drew them at random on a rendered block; here they are
# recovered from its 206 demonstrations, which hold pose and points of every step: the points turned back into the
# block's frame, averaged over the 92 % of the steps that agree with their median to 0.01 pixels. Those leave a residual
# of 0.0016 pixels (root mean square); the rest, where the block is fast, differ by up to 2.2 pixels.
POINTS: Array = np.array(
    [
        [9.269772, 90.041003],
        [-60.983451, -1.186728],
        [60.912776, -1.393315],
        [-0.270493, 25.543651],
        [-14.064955, 122.815874],
        [39.002746, 32.857445],
        [-39.966407, 32.729666],
        [-16.824349, 62.863198],
        [23.541482, -1.700253],
    ]
)


class PushTEnv:
    """One agent, one block, optionally a picture of the board (camera.name is ignored: there is one view)."""

    def __init__(self, task: str = "PushT", camera: CameraConfig | None = None) -> None:
        self.task: Task = get_task(task)
        if camera is not None and camera.display:
            raise ValueError(f"display is {camera.display!r}, but {task} is a flat board; leave it empty")
        self.camera_config = camera
        self._env, self.version = _make_gym_pusht()
        self._step = 0
        self._target: Array | None = None

    def reset(self, seed: int) -> Observation:
        """Begin the episode that this seed names. seed: 0 to 2**32 - 1."""
        return self.reset_to(initial_state(seed))

    def reset_to(self, state: ArrayLike) -> Observation:
        """Begin with agent x, y, block x, y and angle as the reference sets them: the position before the angle, which
        then turns the block about its centre of mass and moves the position again (see place_exactly).
        """
        state = np.asarray(state, dtype=np.float64)
        if state.shape != (5,) or not np.isfinite(state).all():
            raise ValueError(f"state is {state}, expected five finite numbers: agent x, y, block x, y, angle")
        self._env.reset(options={"reset_to_state": state.tolist()})
        self._step, self._target = 0, None
        return self._observe(reward=0.0, success=False)

    def place_exactly(self, state: ArrayLike) -> Observation:
        """As reset_to, but the block ends where the state (5,) says."""
        x, y, block_x, block_y, angle = np.asarray(state, dtype=np.float64)
        centre = np.array(self._env.block.center_of_gravity)
        return self.reset_to([x, y, *(np.array([block_x, block_y]) - centre + rotation(angle) @ centre), angle])

    def step(self, row: ArrayLike) -> Observation:
        """Pull the agent towards the position row (2,) for one control step (0.1 s); ValueError for a bad row."""
        row = np.asarray(row, dtype=np.float64)
        self.check_rows(row[None])
        _, reward, success, _, _ = self._env.step(row)
        self._step, self._target = self._step + 1, row
        return self._observe(float(reward), bool(success))

    def check_rows(self, rows: ArrayLike) -> None:
        """Raises ValueError for rows that are not (R, 2) finite numbers."""
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(f"action rows have shape {rows.shape}, expected (R, 2)")
        if not np.isfinite(rows).all():
            raise ValueError(f"action rows hold non-finite numbers: {rows[~np.isfinite(rows).all(-1)][0]}")

    def images(self, seconds: float = 0.0) -> CameraImages:
        """The board from above, whatever the time. It has neither depth (NaN) nor a pinhole camera (K is zero, as ROS
        says uncalibrated).

        Raises ValueError when the environment was made without a camera.
        """
        if self.camera_config is None:
            raise ValueError("this environment has no camera; make it with PushTEnv(camera=CameraConfig(...))")
        width, height = self.camera_config.width, self.camera_config.height
        shapes = [np.array(shape.get_vertices()) for shape in self._env.block.shapes]
        board = draw_board(shapes, self._env.goal_pose, self._block_pose(), self._agent(), self._target, width, height)
        return CameraImages(rgb=board, depth=np.full((height, width), np.nan, np.float32), K=np.zeros((3, 3)))

    def state(self) -> Array:
        """Agent x, y, block x, y and angle in [0, 2 pi)."""
        x, y, angle = self._block_pose()
        return np.array([*self._agent(), x, y, angle % (2 * np.pi)])

    def close(self) -> None:
        """Free the simulation."""
        self._env.close()

    def _agent(self) -> Array:
        return np.array(self._env.agent.position)

    def _block_pose(self) -> Array:
        return np.array([*self._env.block.position, self._env.block.angle])

    def _observe(self, reward: float, success: bool) -> Observation:
        x, y, angle = self._block_pose()
        turned = np.array([0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2)])
        points = block_points((x, y, angle))
        objects = {"block": (np.array([x, y, 0.0]), turned)}
        objects |= {name: (np.array([*xy, 0.0]), turned) for name, xy in zip(PUSHT_POINTS, points, strict=True)}
        return Observation(
            features={"keypoint": points.ravel(), "agent_pos": self._agent()},
            joint_names=(),
            joint_positions=np.empty(0),
            joint_velocities=np.empty(0),
            hands=(Hand(np.array([*self._agent(), 0.0]), np.array([0.0, 0.0, 0.0, 1.0]), np.eye(3)),),
            objects=objects,
            reward=reward,
            success=success,
            step=self._step,
        )


def initial_state(seed: int) -> Array:
    """Where the reference's legacy seeds put agent (x, y) and block (x, y, angle), (5,). seed: 0 to 2**32 - 1."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}, expected 0 to {2**32 - 1}")
    draws = np.random.RandomState(seed)
    positions = [draws.randint(50, 450), draws.randint(50, 450), draws.randint(100, 400), draws.randint(100, 400)]
    return np.array([*positions, draws.randn() * 2 * np.pi - np.pi], dtype=np.float64)


def block_points(pose: ArrayLike) -> Array:
    """The nine observed points (9, 2) of a block at x, y, angle."""
    x, y, angle = np.asarray(pose, dtype=np.float64)
    points: Array = np.array([x, y]) + POINTS @ rotation(angle).T
    return points


def rotation(angle: float) -> Array:
    """Matrix (2, 2) that turns by an angle in rad."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _make_gym_pusht() -> tuple[Any, str]:
    """gym-pusht's environment without a window, and its version."""
    from importlib.metadata import version

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        from gym_pusht.envs.pusht import PushTEnv as GymPushT
    except ImportError as error:
        raise ImportError(f"task PushT takes gym-pusht ({error}); `make setup` installs it") from error
    env = GymPushT()
    env.reset(seed=0)
    return env, version("gym-pusht")

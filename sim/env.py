"""A robosuite task as a plain object: reset with a seed, step with a row of numbers, look at it.

Everything an episode does follows from its seed and its rows, bit for bit, whatever the process did before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.actions import ROW_DIM, row_to_action
from sim.extras import Extras
from sim.object_features import Hand, Seen, object_feature
from sim.rendering import Camera, CameraConfig, CameraImages
from sim.tasks import Task, get_task

CONTROL_FREQUENCY = 20  # Hz
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """What is known after a control step. Lengths in m (pixels for PushT), angles in rad, quaternions xyzw, everything
    in the world frame.

    features: the task's obs_keys, float64. joint_names: none for a task without joints. hands: one for each robot
    (PushT: the agent). objects: name -> (position (3), quaternion (4)); flags: name -> holds. step counts the control
    steps since the reset. eef_position, eef_quat_xyzw, eef_rotation: of the first hand.
    """

    features: dict[str, Array]
    joint_names: tuple[str, ...]
    joint_positions: Array
    joint_velocities: Array
    hands: tuple[Hand, ...]
    objects: dict[str, tuple[Array, Array]]
    reward: float
    success: bool
    step: int
    flags: dict[str, bool] = field(default_factory=dict)

    @property
    def eef_position(self) -> Array:
        return self.hands[0].position

    @property
    def eef_quat_xyzw(self) -> Array:
        return self.hands[0].quat_xyzw

    @property
    def eef_rotation(self) -> Array:
        return self.hands[0].rotation


class SimEnv:
    """One robosuite task, optionally with a camera; the other tasks' environments have the same methods."""

    def __init__(self, task: str, camera: CameraConfig | None = None, extras: Extras | None = None) -> None:
        """Raises ValueError for a task that does not take these extras, and for what their files raise."""
        self.task: Task = get_task(task)
        extras = extras or Extras()
        extras.check(self.task)
        self.camera_config = camera
        self._camera: Camera | None = None
        robosuite = _import_robosuite()
        self.env_kwargs = environment_arguments(self.task.robots)
        self.version: str = robosuite.__version__
        kind = robosuite.environments.base.REGISTERED_ENVS[self.task.env_name]
        kind, self._clutter = extras.apply(kind)
        self._env = kind(**self.env_kwargs)
        self._step = 0

    def reset(self, seed: int) -> Observation:
        """Begin the episode that this seed names. seed: 0 to 2**32 - 1."""
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed is {seed}, expected 0 to {2**32 - 1}")
        self._close_camera()
        # The placement sampler keeps a reference to the generator, so its state is set rather than a new one made.
        self._env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        np.random.seed(seed)
        if self._clutter is not None:
            self._clutter.choose(seed)
        self._env.reset()  # a hard reset: the model is built anew, nothing of the last episode is left
        self._step = 0
        return self._observe()

    def step(self, row: ArrayLike) -> Observation:
        """Command one row, (10,) for each robot, for one control step (0.05 s).

        Raises ValueError, moving nothing, for a bad row.
        """
        if np.shape(row) != (self.task.action_dim,):
            raise ValueError(f"action row has shape {np.shape(row)}, expected ({self.task.action_dim},)")
        self._env.step(self._actions(row).ravel())
        self._step += 1
        return self._observe()

    def check_rows(self, rows: ArrayLike) -> None:
        """Raises ValueError for rows (R, 10 for each robot) that must not be commanded: not finite, or no rotation."""
        if np.shape(rows)[1:] != (self.task.action_dim,):
            raise ValueError(f"action rows have shape {np.shape(rows)}, expected (R, {self.task.action_dim})")
        self._actions(rows)

    def images(self, seconds: float = 0.0) -> CameraImages:
        """What the camera sees now. seconds: simulated time, by which a display before it has turned.

        Raises ValueError when the environment was made without a camera.
        """
        import mujoco

        if self.camera_config is None:
            raise ValueError("this environment has no camera; make it with SimEnv(task, camera=CameraConfig(...))")
        model, data = self._env.sim.model._model, self._env.sim.data._data
        if self._camera is None:
            self._camera = Camera(model, self.camera_config)
        mujoco.mj_camlight(model, data)
        return self._camera.draw(data, seconds)

    def state(self) -> Array:
        """MuJoCo's state, flattened as robomimic stores it: time, qpos, qvel."""
        return np.asarray(self._env.sim.get_state().flatten(), dtype=np.float64)

    def model_xml(self) -> str:
        """The episode's scene as MJCF (object sizes differ from episode to episode)."""
        return str(self._env.sim.model.get_xml())

    def close(self) -> None:
        """Free the simulation and the camera."""
        self._close_camera()
        self._env.close()

    def _actions(self, rows: ArrayLike) -> Array:
        """Rows (..., 10 for each robot) -> actions (..., robots, 7)."""
        rows = np.asarray(rows)
        return row_to_action(rows.reshape(*rows.shape[:-1], self.task.robots, ROW_DIM))

    def _close_camera(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _observe(self) -> Observation:
        import mujoco

        env, data = self._env, self._env.sim.data
        # A step ends with the joints moved but the bodies' poses still those before; this brings them up to date and,
        # unlike mj_forward, leaves the solver's warm start alone.
        mujoco.mj_kinematics(env.sim.model._model, data._data)
        raw = env._get_observations(force_update=True)
        joints = [joint for robot in env.robots for joint in (*robot.robot_joints, *robot.gripper_joints["right"])]
        hands = tuple(self._hand(raw, number) for number in range(self.task.robots))
        objects = {name: _pose(raw, name) for name in self.task.objects}
        flags = {name: bool(np.squeeze(raw[name])) for name in self.task.flags}
        raw["object"] = object_feature(self.task.name, Seen(objects, hands, flags))
        return Observation(
            features={name: np.array(raw[name], dtype=np.float64) for name, _ in self.task.obs_keys},
            joint_names=tuple(joints),
            joint_positions=np.array([data.get_joint_qpos(joint) for joint in joints]),
            joint_velocities=np.array([data.get_joint_qvel(joint) for joint in joints]),
            hands=hands,
            objects=objects,
            reward=float(env.reward(None)),
            success=bool(env._check_success()),
            step=self._step,
            flags=flags,
        )

    def _hand(self, raw: dict[str, Any], number: int) -> Hand:
        site = self._env.robots[number].eef_site_id["right"]
        return Hand(
            position=np.array(raw[f"robot{number}_eef_pos"]),
            quat_xyzw=np.array(raw[f"robot{number}_eef_quat"]),
            rotation=np.array(self._env.sim.data.site_xmat[site]).reshape(3, 3),
        )


def _pose(raw: dict[str, Any], name: str) -> tuple[Array, Array]:
    """Position and quaternion of an object; robosuite tells no orientation of a bin, which stands upright."""
    quat = raw.get(f"{name}_quat", [0, 0, 0, 1])
    return np.array(raw[f"{name}_pos"], dtype=np.float64), np.array(quat, dtype=np.float64)


def environment_arguments(robots: int = 1) -> dict[str, Any]:
    """robosuite.make's arguments: Pandas whose hands follow absolute poses in the world frame; plain JSON values."""
    controller = _import_robosuite().load_composite_controller_config(controller="BASIC")
    arm = controller["body_parts"]["right"]
    # robosuite 1.4's `control_delta: False` is swallowed without a word by 1.5, which would then add the pose up.
    arm.update(input_type="absolute", input_ref_frame="world")
    controller["body_parts"] = {"right": arm}
    return {
        "robots": ["Panda"] * robots,
        "controller_configs": controller,
        "control_freq": CONTROL_FREQUENCY,
        "has_renderer": False,
        "has_offscreen_renderer": False,
        "use_camera_obs": False,
        "use_object_obs": True,
        "reward_shaping": False,
        "ignore_done": True,
        "horizon": 1_000_000,
        "hard_reset": True,
        "renderer": "mujoco",
    }


def _import_robosuite() -> Any:
    """robosuite without its notices about optional parts that are not used here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    import robosuite

    logging.disable(disabled)
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    return robosuite

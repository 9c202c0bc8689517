"""The tasks a policy can be trained and judged on, with the order and size of what it observes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task of the simulator.

    env_name is robosuite's name of the scene, max_steps the control steps (20 Hz) after which an episode counts as
    failed, objects the names whose poses are published, obs_keys the features as (name, size) in the policy's order.
    """

    name: str
    env_name: str
    max_steps: int
    objects: tuple[str, ...]
    obs_keys: tuple[tuple[str, int], ...]
    action_dim: int
    description: str


_ONE_ARM = (("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2))

# `object` is [cube position (3), cube quaternion xyzw (4), cube position - robot0_eef_pos (3)], as in robomimic's data.
TASKS: dict[str, Task] = {
    "Lift": Task(
        name="Lift",
        env_name="Lift",
        max_steps=400,
        objects=("cube",),
        obs_keys=(("object", 10), *_ONE_ARM),
        action_dim=10,
        description="pick the cube up from the table (success: its centre is more than 4 cm above the table top)",
    ),
}


def get_task(name: str) -> Task:
    """The task of that name. Raises ValueError naming the tasks there are."""
    if name not in TASKS:
        raise ValueError(f"task {name!r} is unknown; expected one of {', '.join(sorted(TASKS))}")
    return TASKS[name]

"""The tasks a policy can be trained and judged on, with the order and size of what it observes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task of the simulator.

    simulator is the library that moves it, "robosuite" or "gym_pusht"; env_name that library's name of the scene;
    max_steps the control steps (control_frequency a second) after which an episode counts as failed, objects the names
    whose poses are published, obs_keys the features as (name, size) in the policy's order. score is what episodes are
    compared by: "success", or "max_reward" for the largest reward of an episode.
    """

    name: str
    simulator: str
    env_name: str
    control_frequency: int
    max_steps: int
    objects: tuple[str, ...]
    obs_keys: tuple[tuple[str, int], ...]
    action_dim: int
    description: str
    score: str = "success"


_ONE_ARM = (("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2))
PUSHT_POINTS = tuple(f"block_point_{number}" for number in range(9))

# `object` is [cube position (3), cube quaternion xyzw (4), cube position - robot0_eef_pos (3)], as in robomimic's data.
TASKS: dict[str, Task] = {
    "Lift": Task(
        name="Lift",
        simulator="robosuite",
        env_name="Lift",
        control_frequency=20,
        max_steps=400,
        objects=("cube",),
        obs_keys=(("object", 10), *_ONE_ARM),
        action_dim=10,
        description="pick the cube up from the table (success: its centre is more than 4 cm above the table top)",
    ),
    # `keypoint` is x, y of nine points of the block, as in the Diffusion Policy project's data; lengths are pixels.
    "PushT": Task(
        name="PushT",
        simulator="gym_pusht",
        env_name="PushT",
        control_frequency=10,
        max_steps=300,
        objects=("block", *PUSHT_POINTS),
        obs_keys=(("keypoint", 18), ("agent_pos", 2)),
        action_dim=2,
        description="push the T-shaped block onto its outline (success: more than 95 % of the outline is covered)",
        score="max_reward",
    ),
}


def get_task(name: str) -> Task:
    """The task of that name. Raises ValueError naming the tasks there are."""
    if name not in TASKS:
        raise ValueError(f"task {name!r} is unknown; expected one of {', '.join(sorted(TASKS))}")
    return TASKS[name]

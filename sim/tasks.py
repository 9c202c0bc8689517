"""The tasks a policy can be trained and judged on, with the order and size of what it observes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One task of the simulator.

    simulator is the library that moves it, "robosuite" or "gym_pusht"; env_name that library's name of the scene;
    max_steps the control steps (control_frequency a second) after which an episode counts as failed, objects the names
    whose poses are published, flags the yes-or-no facts that are, robots the number of arms, obs_keys the features as
    (name, size) in the policy's order. score is what episodes are compared by: "success", or "max_reward" for the
    largest reward of an episode.
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
    robots: int = 1
    flags: tuple[str, ...] = ()


_ONE_ARM = (("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2))
_OTHER_ARM = (("robot1_eef_pos", 3), ("robot1_eef_quat", 4), ("robot1_gripper_qpos", 2))
PUSHT_POINTS = tuple(f"block_point_{number}" for number in range(9))

# What `object` is made of stands in sim/object_features.py.
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
    "Can": Task(
        name="Can",
        simulator="robosuite",
        env_name="PickPlaceCan",
        control_frequency=20,
        max_steps=400,
        objects=("Can",),
        obs_keys=(("object", 14), *_ONE_ARM),
        action_dim=10,
        description="carry the can to its bin (success: it lies in the bin's compartment for cans, let go)",
    ),
    "Square": Task(
        name="Square",
        simulator="robosuite",
        env_name="NutAssemblySquare",
        control_frequency=20,
        max_steps=400,
        objects=("SquareNut",),
        obs_keys=(("object", 14), *_ONE_ARM),
        action_dim=10,
        description="put the square nut over the square peg (success: it lies around the peg, let go)",
    ),
    "ToolHang": Task(
        name="ToolHang",
        simulator="robosuite",
        env_name="ToolHang",
        control_frequency=20,
        max_steps=700,
        objects=("base", "frame", "tool"),
        flags=("frame_is_assembled", "tool_on_frame"),
        obs_keys=(("object", 44), *_ONE_ARM),
        action_dim=10,
        description="stick the hook into its stand and hang the tool on it (success: both hold)",
    ),
    "Transport": Task(
        name="Transport",
        simulator="robosuite",
        env_name="TwoArmTransport",
        control_frequency=20,
        max_steps=700,
        objects=("payload", "trash", "lid_handle", "target_bin", "trash_bin"),
        flags=("payload_in_target_bin", "trash_in_trash_bin"),
        obs_keys=(("object", 41), *_ONE_ARM, *_OTHER_ARM),
        action_dim=20,
        robots=2,
        description="one arm uncovers a hammer and hands it over, the other clears its bin and puts the hammer there",
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

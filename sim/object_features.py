"""The feature `object` of the robosuite tasks, from what is published about the scene.

The parts and their order are those of the data sets that the field's policies are trained on (robomimic's, recorded
with robosuite 1.2 to 1.4). robosuite 1.5 has the relative poses first, and one control step late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import pose_in_frame

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hand:
    """Where a gripper is, in the world frame: position (3) in m, quaternion xyzw (4) of the hand's body.

    rotation (3, 3) is the orientation that action rows command (the controller's site, 45 degrees off the body's).
    """

    position: Array
    quat_xyzw: Array
    rotation: Array

    @property
    def pose(self) -> Array:
        """Position and quaternion, (7,)."""
        return np.concatenate([self.position, self.quat_xyzw])


@dataclass(frozen=True)
class Seen:
    """What the feature is made of. objects: name -> (position (3), quaternion xyzw (4)); flags: name -> holds."""

    objects: Mapping[str, tuple[Array, Array]]
    hands: Sequence[Hand]
    flags: Mapping[str, bool]

    def position(self, name: str) -> Array:
        return self.objects[name][0]

    def pose(self, name: str) -> Array:
        return np.concatenate(self.objects[name])

    def both_poses(self, name: str) -> Array:
        """The pose in the world and as seen from the first hand, (14,)."""
        pose = self.pose(name)
        return np.concatenate([pose, pose_in_frame(pose, self.hands[0].pose)])

    def offset(self, name: str, hand: int) -> Array:
        """Position minus that of a hand, in the world's axes, (3,)."""
        return self.position(name) - self.hands[hand].position


def object_feature(task: str, seen: Seen) -> Array:
    """`object` of a robosuite task, as long as the task's obs_keys say."""
    return np.concatenate([np.atleast_1d(part) for part in _PARTS[task](seen)], dtype=np.float64)


def _lift(seen: Seen) -> list[Array]:
    return [seen.pose("cube"), seen.offset("cube", 0)]


def _can(seen: Seen) -> list[Array]:
    return [seen.both_poses("Can")]


def _square(seen: Seen) -> list[Array]:
    return [seen.both_poses("SquareNut")]


def _tool_hang(seen: Seen) -> list[Array]:
    return [*map(seen.both_poses, ("base", "frame", "tool")), *_flags(seen, "frame_is_assembled", "tool_on_frame")]


def _transport(seen: Seen) -> list[Array]:
    return [
        *map(seen.pose, ("payload", "trash", "lid_handle")),
        *map(seen.position, ("target_bin", "trash_bin")),
        *_flags(seen, "payload_in_target_bin", "trash_in_trash_bin"),
        *(seen.offset(name, 0) for name in ("payload", "lid_handle")),
        *(seen.offset(name, 1) for name in ("payload", "trash")),
    ]


def _flags(seen: Seen, *names: str) -> list[Array]:
    return [np.array([seen.flags[name]], dtype=np.float64) for name in names]


_PARTS = {"Lift": _lift, "Can": _can, "Square": _square, "ToolHang": _tool_hang, "Transport": _transport}

"""The two forms of an absolute end-effector command, and the way between them.

A *row* is what policies speak: ten numbers [x, y, z, r1..r6, gripper], position in m and the first two rows of the
rotation matrix. An *action* is what robosuite and robomimic's data files speak: seven numbers [x, y, z, axis-angle (3),
gripper]. Both are poses of the controller's site in the world frame (its orientation is turned by 45 degrees about the
hand's axis against the published end-effector quaternion), gripper from -1 (open) to 1 (closed).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_rot6d, rot6d_to_matrix

ROW_DIM = 10
ACTION_DIM = 7
CONVENTION = "absolute, world frame, axis-angle"


def row_to_action(row: ArrayLike) -> NDArray[np.float64]:
    """Rows (..., 10) -> actions (..., 7): the rotation is orthonormalised, the gripper clipped to [-1, 1].

    Raises ValueError for another size, a non-finite number, or six numbers that name no rotation.
    """
    row = _checked(row, ROW_DIM, "action row")
    rotation = matrix_to_axis_angle(rot6d_to_matrix(row[..., 3:9]))
    return np.concatenate([row[..., :3], rotation, np.clip(row[..., 9:], -1.0, 1.0)], axis=-1)


def action_to_row(action: ArrayLike) -> NDArray[np.float32]:
    """Actions (..., 7) -> rows (..., 10). Raises ValueError for another size or a non-finite number."""
    action = _checked(action, ACTION_DIM, "action")
    rotation = matrix_to_rot6d(axis_angle_to_matrix(action[..., 3:6]))
    return np.concatenate([action[..., :3], rotation, action[..., 6:]], axis=-1, dtype=np.float32)


def pose_row(position: ArrayLike, rotation: ArrayLike, gripper: float) -> NDArray[np.float32]:
    """The row (10,) that commands this site position (3,) in m and site rotation matrix (3, 3)."""
    return np.concatenate([np.asarray(position), matrix_to_rot6d(rotation), [gripper]], dtype=np.float32)


def _checked(values: ArrayLike, size: int, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., {size})")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds non-finite numbers: {array[~np.isfinite(array).all(-1)][0]}; nothing was commanded"
        )
    return array

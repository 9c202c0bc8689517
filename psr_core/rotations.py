"""Conversions between the rotation forms that policies, simulators and ROS messages use.

All functions take and return float64 arrays with any leading batch shape. Quaternions are xyzw (ROS, robosuite).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def matrix_to_rot6d(matrix: ArrayLike) -> Array:
    """First two rows of a rotation matrix, (..., 3, 3) -> (..., 6): the continuous form policies are trained on.

    Source: Zhou et al. 2019, in PyTorch3D's row convention, as Diffusion Policy uses it.
    """
    matrix = _shaped(matrix, (3, 3), "matrix")
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6).copy()


def rot6d_to_matrix(rot6d: ArrayLike) -> Array:
    """Rotation matrix from two rows, orthonormalised by Gram-Schmidt, (..., 6) -> (..., 3, 3).

    Raises ValueError when the rows are zero or parallel, for which no rotation exists.
    """
    rows = _shaped(rot6d, (6,), "rot6d")
    first, second = rows[..., :3], rows[..., 3:]
    first = _unit(first, "first row of rot6d")
    second = _unit(second - (first * second).sum(-1, keepdims=True) * first, "second row of rot6d (parallel to first)")
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def axis_angle_to_matrix(axis_angle: ArrayLike) -> Array:
    """Rotation matrix from axis times angle in rad, (..., 3) -> (..., 3, 3)."""
    return _through_scipy(axis_angle, (3,), "axis_angle", Rotation.from_rotvec, lambda r: r.as_matrix(), (3, 3))


def matrix_to_axis_angle(matrix: ArrayLike) -> Array:
    """Axis times angle in rad, angle in [0, pi], from rotation matrices, (..., 3, 3) -> (..., 3)."""
    return _through_scipy(matrix, (3, 3), "matrix", Rotation.from_matrix, lambda r: r.as_rotvec(), (3,))


def quat_xyzw_to_matrix(quat: ArrayLike) -> Array:
    """Rotation matrix from an xyzw quaternion of any non-zero length, (..., 4) -> (..., 3, 3)."""
    return _through_scipy(quat, (4,), "quat_xyzw", Rotation.from_quat, lambda r: r.as_matrix(), (3, 3))


def matrix_to_quat_xyzw(matrix: ArrayLike) -> Array:
    """Unit xyzw quaternion with w >= 0 from rotation matrices, (..., 3, 3) -> (..., 4)."""
    return _through_scipy(matrix, (3, 3), "matrix", Rotation.from_matrix, lambda r: r.as_quat(canonical=True), (4,))


def pose_in_frame(pose: ArrayLike, frame: ArrayLike) -> Array:
    """A pose as seen from another: (..., 7) and (..., 7) in common axes -> (..., 7) in the frame's own axes.

    A pose is position 3 and quaternion xyzw 4; the quaternion of the answer has w >= 0.
    """
    pose, frame = _shaped(pose, (7,), "pose"), _shaped(frame, (7,), "frame")
    inverse = np.swapaxes(quat_xyzw_to_matrix(frame[..., 3:]), -1, -2)
    position = (inverse @ (pose[..., :3] - frame[..., :3])[..., None])[..., 0]
    turned = matrix_to_quat_xyzw(inverse @ quat_xyzw_to_matrix(pose[..., 3:]))
    return np.concatenate([position, turned], axis=-1)


def _through_scipy(values: ArrayLike, tail: tuple[int, ...], name: str, read: Any, write: Any, out: Any) -> Array:
    array = _shaped(values, tail, name)
    batch = array.shape[: array.ndim - len(tail)]
    return np.asarray(write(read(array.reshape(-1, *tail))), dtype=np.float64).reshape(*batch, *out)


def _shaped(values: ArrayLike, tail: tuple[int, ...], name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape[array.ndim - len(tail) :] != tail:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., {', '.join(map(str, tail))})")
    return array


def _unit(vectors: Array, name: str) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (length > 1e-9).all():
        raise ValueError(f"{name} has length {length.min():.3g}, so it names no rotation; expected more than 1e-9")
    unit: Array = vectors / length
    return unit

"""The pinhole camera of a camera_info: resizing, projecting, back-projecting.

Images are rectified, as P describes them. Optical frame: x right, y down, z forward, metres (REP 103). Pixels (u, v) =
(column, row), centres at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Camera:
    """width, height: pixels. k (3, 3): intrinsics of the raw image. p (3, 4): projection into the rectified image."""

    width: int
    height: int
    k: Array
    p: Array

    @classmethod
    def from_camera_info(cls, width: int, height: int, k: ArrayLike, p: ArrayLike) -> Camera:
        """From the fields of a CameraInfo: k of 9 and p of 12 numbers, row by row. A p of zeros stands for (k | 0).

        Raises ValueError naming the field: no size, other counts, numbers not finite, focal lengths not above 0 (an
        uncalibrated camera sends zeros), last rows other than 0 0 1 and 0 0 1 0.
        """
        if width < 1 or height < 1:
            raise ValueError(f"camera_info is for {width} x {height} pixels, expected at least 1 x 1")
        k = _matrix("k", k, (3, 3))
        if not np.any(p):
            p = np.column_stack([k, np.zeros(3)])
        return cls(int(width), int(height), k, _matrix("p", p, (3, 4)))

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same image resized to width x height pixels, as cv2.resize and torch's interpolate do.

        They map pixel areas onto each other, so a centre u goes to (u + 1/2) * scale - 1/2. (image_proc's resize node
        leaves out the halves, which shifts the principal point by up to half a pixel.) Raises ValueError on no pixels.
        """
        if width < 1 or height < 1:
            raise ValueError(f"the new size is {width} x {height} pixels, expected at least 1 x 1")
        x, y = width / self.width, height / self.height
        resize = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        return Camera(int(width), int(height), resize @ self.k, resize @ self.p)

    def project(self, points: Array) -> Array:
        """Pixels (u, v), float64 (..., 2), of points (..., 3) in metres; NaN for what is not in front of the camera."""
        points = np.asarray(points, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            image = points @ self.p[:, :3].T + self.p[:, 3]
            pixels: Array = image[..., :2] / image[..., 2:]
        seen = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
        pixels[~seen] = np.nan
        return pixels

    def sparse_depth(self, points: Array) -> Array:
        """Those of the points (N, 3) that fall into the image, as float64 (M, 3): row, column, depth in metres."""
        u, v = self.project(points).T
        with np.errstate(invalid="ignore"):
            inside = (u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5)
        rows: Array = np.column_stack([v, u, np.asarray(points, np.float64)[:, 2]])[inside]
        return rows

    def backproject(self, depth: Array) -> Array:
        """Points, float32 (H, W, 3), of a depth image (H, W) in metres along z.

        NaN where the depth is not finite and positive. Raises ValueError when the image's size is not the camera's.
        """
        if depth.shape != (self.height, self.width):
            raise ValueError(
                f"the depth image is {depth.shape}, its camera_info says (height, width) {self.height, self.width}; "
                "resize the camera_info with it"
            )
        z = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float64)
        v, u = np.mgrid[: self.height, : self.width].astype(np.float64)
        image = np.stack([u * z, v * z, z], axis=-1) - self.p[:, 3]
        points: Array = (image @ np.linalg.inv(self.p[:, :3]).T).astype(np.float32)
        return points


def _matrix(name: str, values: ArrayLike, shape: tuple[int, int]) -> Array:
    matrix = np.array(values, np.float64)
    if matrix.size != shape[0] * shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"camera_info: {name} is {matrix.ravel().tolist()}, expected {shape[0] * shape[1]} numbers")
    matrix = matrix.reshape(shape)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError(
            f"camera_info: {name} has focal lengths fx = {matrix[0, 0]:g} and fy = {matrix[1, 1]:g}, expected both "
            "above 0; calibrate the camera (zeros mean that it is not)"
        )
    last = [0.0, 0.0, 1.0, 0.0][: shape[1]]
    if matrix[2].tolist() != last or matrix[1, 0] != 0:
        raise ValueError(
            f"camera_info: {name} is {matrix.tolist()}, expected a pinhole matrix: 0 before fy, last row {last}"
        )
    return matrix

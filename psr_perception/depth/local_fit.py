"""Metric depth drawn to sparse points: what one scale and shift leave over is spread from there to what is near."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_perception.depth.sparse_fit import Array, SparseFit, usable_points

LONGEST = 128  # pixels of the longer side of the grid that the correction is worked out on; it is smooth
POINTS = 500  # that draw; more of them cost time and change little
REACH = 1.0  # of a point in the image, in mean distances between neighbouring points
ALIKE = 0.1  # of a point in relative depth, in ranges of the map
PRIOR = 0.05  # weight of no correction at all: what holds far from every point


def local_depth(relative: Array, points: Array, fit: SparseFit, threshold: float = 0.2) -> NDArray[np.float32]:
    """The metric map (H, W), metres, NaN where unknown, drawn to those points that agree with the fit.

    The logarithm of depth / fitted depth at these points is averaged with weights that fall with the distance in the
    image and in relative depth, so that a correction stays on its side of an edge, and fades where no point is near.
    relative, points, threshold: as fit_sparse has them, and `fit` is what it returned.
    Source: Tomasi and Manduchi, Bilateral filtering for gray and color images (ICCV 1998), as kernel regression.
    """
    depth = fit.depth(relative)
    at, x, sparse = usable_points(relative, points)
    fitted = fit.scale * x + fit.shift
    agree = (fitted > 0) & (np.abs(fitted / sparse - 1) < threshold)
    if not agree.any():
        return depth
    some = np.flatnonzero(agree)[:: -(-int(agree.sum()) // POINTS)]
    correction = _spread(relative, at[some], x[some], np.log(sparse[some] / fitted[some]))
    corrected: NDArray[np.float32] = (depth * np.exp(correction)).astype(np.float32)
    return corrected


def _spread(relative: Array, at: Array, x: Array, values: Array) -> NDArray[np.float32]:
    """Values of points (N,) at (N, 2) rows and columns with relative depth x (N,), at every pixel (H, W)."""
    height, width = relative.shape
    factor = max(1.0, max(height, width) / LONGEST)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    reach = REACH * np.sqrt(height * width / len(at))
    alike = ALIKE * max(float(np.ptp(relative[np.isfinite(relative)])), 1e-6)
    small = cv2.resize(relative.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    rows = _bell(_centres(size[1], height)[:, None] - at[:, 0], reach)
    columns = _bell(_centres(size[0], width)[:, None] - at[:, 1], reach)
    weights = rows[:, None] * columns[None] * _bell(small[..., None] - x.astype(np.float32), alike)
    spread = (weights @ values.astype(np.float32)) / (weights.sum(-1) + np.float32(PRIOR))
    return cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)


def _centres(count: int, pixels: int) -> Array:
    """Where the centres of `count` cells lie in a row of pixels, in pixels."""
    centres: Array = (np.arange(count) + 0.5) * (pixels / count) - 0.5
    return centres


def _bell(distance: Array, width: float) -> NDArray[np.float32]:
    bell: NDArray[np.float32] = np.exp(-0.5 * (distance / width) ** 2).astype(np.float32)
    return bell

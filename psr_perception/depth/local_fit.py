"""Metric depth drawn to sparse points: what one scale and shift leave over is spread from there to what is near."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from psr_perception.depth.sparse_fit import Agreement, Array, SparseFit, usable_points

LONGEST = 128  # pixels of the longer side of the grid that the correction is worked out on; it is smooth
POINTS = 500  # that draw; more of them cost time and change little
REACH = 1.0  # of a point in the image, in mean distances between neighbouring points
ALIKE = 0.1  # of a point in relative depth, in ranges of the map
PRIOR, LEVEL = 0.005, 0.02  # weights of no correction at all, which holds far from every point, and of no slope
NEIGHBOURS = 8  # by which a point is judged
NEAREST = 0.05  # fitted depth, in medians of the map: nearer, and behind the camera, the line means nothing


@dataclass(frozen=True, eq=False)
class LocalFit(Agreement):
    """depth: (H, W) float32, metres. inliers: of the points, those which their neighbours bear out. residual: the
    median, over these, of how far their neighbours' corrections would have missed them, relative."""

    depth: NDArray[np.float32]


def fit_locally(relative: Array, points: Array, fit: SparseFit, threshold: float = 0.2) -> LocalFit:
    """The metric map of a relative one (H, W) under a fit, drawn to those points whose neighbours bear them out.

    The correction of a point is the logarithm of its depth / the fitted depth. It counts where it differs by less than
    the threshold from what its neighbours say, however large it is. Around each pixel corrections are fitted by a plane
    in image and relative depth, with weights that fall with the distance in all three: they stay on their side of an
    edge, and fade where no point is near. points, threshold: as fit_sparse has them; fit: what it returned.
    Source: local linear regression (Cleveland, JASA 74, 1979) with the weights of a bilateral filter (Tomasi and
    Manduchi, ICCV 1998).
    """
    at, x, sparse = usable_points(relative, points)
    line = fit.scale * relative.astype(np.float64) + fit.shift
    floor = NEAREST * np.median(line[line > 0])
    fitted = np.maximum(line, floor)
    correction = np.log(sparse / np.maximum(fit.scale * x + fit.shift, floor))
    unit = REACH * np.sqrt(relative.size / len(at)), ALIKE * max(float(np.ptp(relative[np.isfinite(relative)])), 1e-6)
    places = np.column_stack([at / unit[0], x / unit[1]])
    missed = np.abs(correction - _neighbours(places, correction))
    inlier = missed < threshold
    if inlier.any():  # those at edges, whose neighbours differ, come in by what the others say together
        some = _some(inlier)
        inlier = np.abs(correction - _plane(places, places[some], correction[some])) < threshold
    if not inlier.any():
        return LocalFit(len(at), 0, float("inf"), fitted.astype(np.float32))
    some = _some(inlier)
    spread = _on_map(relative, unit, places[some], correction[some])
    residual = float(np.median(missed[inlier]))
    return LocalFit(len(at), int(inlier.sum()), residual, (fitted * np.exp(spread)).astype(np.float32))


def interpolate_planes(points: Array, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What the sparse points alone say, in the same way: planes through those that their neighbours bear out."""
    level = SparseFit(len(points), len(points), 0.0, 0.0, float(np.median(points[:, 2])))
    return fit_locally(np.zeros(shape), points, level).depth


def _some(chosen: Array) -> Array:
    """Numbers of those chosen, evenly thinned to POINTS."""
    numbers = np.flatnonzero(chosen)
    return numbers[:: -(-len(numbers) // POINTS)]


def _neighbours(places: Array, values: Array) -> Array:
    """For each of the places (N, 3) the median of its neighbours' values (N,), 0 where there are too few."""
    if len(places) <= NEIGHBOURS:
        return np.zeros(len(places))
    _, neighbours = KDTree(places).query(places, NEIGHBOURS + 1)
    others = np.where(neighbours == np.arange(len(places))[:, None], np.nan, values[neighbours])
    median: Array = np.nanmedian(others, axis=1)
    return median


def _plane(wanted: Array, places: Array, values: Array) -> Array:
    """At each wanted place (P, 3) the value of the plane through the values (N,) at places (N, 3) about it."""
    weights = np.exp(-0.5 * cdist(wanted, places, "sqeuclidean"))
    count, ahead = len(wanted), np.column_stack([np.ones(len(places)), places])
    products = (ahead[:, :, None] * ahead[:, None]).reshape(len(places), 16)
    shift = np.tile(np.eye(4), (count, 1, 1))  # to coordinates about the wanted place
    shift[:, 1:, 0] = -wanted
    normal = shift @ (weights @ products).reshape(count, 4, 4) @ shift.transpose(0, 2, 1)
    right = shift @ (weights @ (ahead * values[:, None]))[..., None]
    solved: Array = np.linalg.solve(normal + np.diag([PRIOR, LEVEL, LEVEL, LEVEL]), right)[:, 0, 0]
    return solved


def _on_map(relative: Array, unit: tuple[float, float], places: Array, values: Array) -> NDArray[np.float32]:
    """The plane's value at every pixel of the map (H, W); unit: of pixels and of relative depth in places."""
    height, width = relative.shape
    factor = max(1.0, max(height, width) / LONGEST)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = cv2.resize(relative.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    rows, columns = (
        (np.arange(cells) + 0.5) * (side / cells) - 0.5 for cells, side in zip(size[::-1], (height, width), strict=True)
    )
    wanted = [np.repeat(rows, size[0]) / unit[0], np.tile(columns, size[1]) / unit[0], small.ravel() / unit[1]]
    spread = _plane(np.column_stack(wanted), places, values).reshape(size[::-1]).astype(np.float32)
    return cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)

"""Makes a relative depth map metric from sparse depth: one scale and one shift, fitted against outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import QhullError
from scipy.stats import kendalltau

from psr_perception.depth.metrics import affine_fit

Array = NDArray[Any]
Reason = Literal["no valid points", "too few points", "too little spread", "negative scale"]

MIN_POINTS = 10
HYPOTHESES = 500  # lines through two points; at 40 % outliers a third of them are through two inliers
SCORED_POINTS = 500  # more do not change which line is best, and lidars send tens of thousands
REWEIGHTINGS = 30
MIN_SPREAD = 0.05  # of the points' relative depth, in standard deviations of the whole map
# A fit is good when most points agree with it, and closely.
GOOD_SHARE = 0.5
GOOD_RESIDUAL = 0.1


class FitRefused(ValueError):
    """No scale and shift follow from these points. reason: which of the known ways; the message says the cure, too."""

    def __init__(self, reason: Reason, explanation: str) -> None:
        super().__init__(f"{reason}: {explanation}")
        self.reason = reason


@dataclass(frozen=True)
class Agreement:
    """How well points agree with a fit: how many there are, how many of them are inliers, and the median relative error
    of these."""

    points: int
    inliers: int
    residual: float

    @property
    def share(self) -> float:
        """Of the points, the inliers', in [0, 1]."""
        return self.inliers / self.points

    @property
    def is_good(self) -> bool:
        """Whether most points agree with the fit, and within a tenth of their depth in the median."""
        return self.share >= GOOD_SHARE and self.residual <= GOOD_RESIDUAL


@dataclass(frozen=True)
class SparseFit(Agreement):
    """depth = scale * relative + shift, in metres; scale > 0.

    inliers: how many of the points lie within the threshold. residual: the median of their |depth - sparse| / sparse.
    """

    scale: float
    shift: float

    def depth(self, relative: Array) -> Array:
        """The metric map, float32, metres, NaN where the line leads to or behind the camera."""
        depth = self.scale * relative.astype(np.float64) + self.shift
        return np.where(depth > 0, depth, np.nan).astype(np.float32)


def points_of(sparse: Array) -> Array:
    """The valid pixels of a sparse depth image (H, W) in metres (NaN, inf and 0 are invalid) as (N, 3): row, column,
    depth."""
    rows, columns = np.nonzero(_valid(sparse))
    return np.column_stack([rows, columns, sparse[rows, columns]]).astype(np.float64)


def fit_sparse(relative: Array, points: Array, threshold: float = 0.2, seed: int = 0) -> SparseFit:
    """Scale and shift with which a relative depth map agrees with most of the points, near and far alike.

    relative (H, W): affine-invariant depth, larger is farther. points (N, 3): row, column (pixels, rounded to the
    nearest) and depth (metres) of the same image; points outside it, and invalid depths, are left out. threshold:
    relative error, above 0, from which on a point counts as an outlier. Up to 40 % of the points may be outliers. The
    same arguments give the same fit; scaling or shifting the map does not change the metric depth.

    MSAC over lines through two points, then Tukey's biweight; both on relative errors. Raises FitRefused when there
    are fewer than 10 valid points, when their relative depth (or that of those which agree) hardly differs, and when
    the points on the whole get nearer where the map says farther; ValueError on other shapes or threshold.
    Source: Torr and Zisserman, MLESAC, CVIU 78 (2000); Beaton and Tukey, Technometrics 16 (1974).
    """
    if not threshold > 0:
        raise ValueError(f"threshold is {threshold}, expected a relative error above 0")
    _, x, depth = usable_points(relative, points)
    if len(x) < MIN_POINTS:
        raise FitRefused("too few points", f"{len(x)} are valid, expected {MIN_POINTS} or more")
    map_spread = float(relative[np.isfinite(relative)].std())
    _require_spread(x, map_spread)
    order = float(kendalltau(x, depth).statistic)
    if order <= 0:
        raise FitRefused(
            "negative scale",
            f"points are nearer where the map says farther (rank correlation {order:.2f}); is it inverse depth?",
        )
    scale, shift = _best_line(x, depth, threshold, np.random.default_rng(seed))
    for _ in range(REWEIGHTINGS):
        kept = np.maximum(1 - (_error(scale, shift, x, depth) / threshold) ** 2, 0)
        _require_spread(x[kept > 0], map_spread)
        before = scale, shift
        scale, shift = affine_fit(x, depth, (kept / depth) ** 2)
        if scale <= 0:  # a poor map says nothing of the points that agree best
            scale, shift = before
            break
        if np.allclose((scale, shift), before, rtol=1e-9, atol=0):
            break
    error = np.abs(_error(scale, shift, x, depth))
    inlier = error < threshold
    return SparseFit(len(x), int(inlier.sum()), float(np.median(error[inlier])), scale, shift)


def interpolate_nearest(points: Array, shape: tuple[int, int]) -> Array:
    """What the sparse points alone say: at each pixel of a (H, W) map the depth of the nearest point, float32."""
    return _at_pixels(NearestNDInterpolator(points[:, :2], points[:, 2]), shape)


def interpolate_linear(points: Array, shape: tuple[int, int]) -> Array:
    """What the sparse points alone say: linear between them, and the nearest point's depth outside their hull."""
    nearest = interpolate_nearest(points, shape)
    try:
        linear = _at_pixels(LinearNDInterpolator(points[:, :2], points[:, 2]), shape)
    except QhullError:  # all on one line, as a planar lidar's: no triangles
        return nearest
    return np.where(np.isnan(linear), nearest, linear)


def _at_pixels(interpolator: Any, shape: tuple[int, int]) -> Array:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    depth: Array = interpolator(rows, columns).astype(np.float32)
    return depth


def _valid(depth: Array) -> Array:
    valid: Array = np.isfinite(depth) & (depth > 0)
    return valid


def usable_points(relative: Array, points: Array) -> tuple[Array, Array, Array]:
    """Of the points inside the map with valid depth: row and column (N, 2), relative and metric depth (N,), float64.

    Raises FitRefused when there is none, ValueError on other shapes; relative and points as fit_sparse has them.
    """
    if relative.ndim != 2 or points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"relative is {relative.shape} and points {points.shape}, expected (H, W) and (N, 3)")
    points = np.asarray(points, np.float64)
    points = points[_valid(points[:, 2]) & np.isfinite(points).all(axis=1)]
    pixels = np.rint(points[:, :2]).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < relative.shape)).all(axis=1)
    points, x = points[inside], relative[tuple(pixels[inside].T)].astype(np.float64)
    finite = np.isfinite(x)
    if not finite.any():
        raise FitRefused("no valid points", "none lies inside the image with a positive, finite depth")
    return points[finite, :2], x[finite], points[finite, 2]


def _require_spread(x: Array, map_spread: float) -> None:
    if x.min() == x.max() or x.std() < MIN_SPREAD * map_spread:
        raise FitRefused(
            "too little spread",
            f"the relative depth of the points that agree differs by {x.std():.2g} (the map's: {map_spread:.2g}); "
            "expected points both near and far",
        )


def _error(scale: Array | float, shift: Array | float, x: Array, depth: Array) -> Array:
    error: Array = (scale * x + shift) / depth - 1
    return error


def _best_line(x: Array, depth: Array, threshold: float, rng: np.random.Generator) -> tuple[float, float]:
    """Of many rising lines through two points the one with the least squared error, counted up to the threshold."""
    first, second = rng.integers(len(x), size=(2, HYPOTHESES))
    scored = rng.permutation(len(x))[:SCORED_POINTS]
    rising = (depth[first] - depth[second]) * (x[first] - x[second]) > 0  # the order of the points says which way
    first, second = first[rising], second[rising]
    if not len(first):
        raise FitRefused("too little spread", "nearly all points have the same relative depth")
    scale = (depth[first] - depth[second]) / (x[first] - x[second])
    shift = depth[first] - scale * x[first]
    errors = _error(scale[:, None], shift[:, None], x[scored], depth[scored])
    best = np.argmin(np.minimum(errors**2, threshold**2).mean(axis=1))
    return float(scale[best]), float(shift[best])

"""Marigold's evaluation of affine-invariant depth: align to the ground truth by least squares, clip, measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SMALLEST_DEPTH = 1e-6  # m; what is not in front of the camera after the alignment counts as this


@dataclass(frozen=True)
class DepthMetrics:
    """Of one image over its valid pixels, or the mean of several images.

    abs_rel: mean of |p - d| / d, >= 0. delta1, delta2, delta3: share of pixels with max(p / d, d / p) below 1.25,
    1.25**2, 1.25**3, in [0, 1]. rmse: metres.
    """

    abs_rel: float
    delta1: float
    delta2: float
    delta3: float
    rmse: float


def evaluate_depth(
    prediction: Array,
    depth: Array,
    valid: Array,
    min_depth: float,
    max_depth: float,
    alignment_max_res: int | None = None,
) -> DepthMetrics:
    """The metrics of an affine-invariant prediction, after its least-squares alignment to the ground truth.

    prediction (H, W), any unit; depth (H, W), metres; valid (H, W) bool. min_depth, max_depth: the data set's range in
    metres, to which the aligned prediction is clipped. alignment_max_res: see align.
    Raises ValueError as align does. Source: Ke et al., Marigold (CVPR 2024), and its evaluation code.
    """
    scale, shift = align(prediction, depth, valid, alignment_max_res)
    aligned = scale * prediction[valid].astype(np.float64) + shift
    aligned = np.maximum(np.clip(aligned, min_depth, max_depth), SMALLEST_DEPTH)
    truth = depth[valid].astype(np.float64)
    ratio = np.maximum(aligned / truth, truth / aligned)
    error = aligned - truth
    return DepthMetrics(
        abs_rel=float(np.mean(np.abs(error) / truth)),
        delta1=float(np.mean(ratio < 1.25)),
        delta2=float(np.mean(ratio < 1.25**2)),
        delta3=float(np.mean(ratio < 1.25**3)),
        rmse=float(np.sqrt(np.mean(error**2))),
    )


def mean_metrics(images: Sequence[DepthMetrics]) -> DepthMetrics:
    """The mean over images, which count alike however many pixels are valid. Raises ValueError when there is none."""
    if not images:
        raise ValueError("there are no images to take the mean of, expected at least one")
    return DepthMetrics(*(float(np.mean(values)) for values in zip(*map(astuple, images), strict=True)))


def align(prediction: Array, depth: Array, valid: Array, alignment_max_res: int | None = None) -> tuple[float, float]:
    """(scale, shift) with the least sum of (scale * prediction + shift - depth)**2 over the valid pixels.

    Shapes as in evaluate_depth. alignment_max_res: where the longer side exceeds it, only every n-th column counts.
    Raises ValueError when the shapes differ, no pixel is valid, a valid pixel of the prediction is not finite or one of
    the ground truth not positive and finite, or the prediction is the same everywhere.
    """
    _check(prediction, depth, valid)
    kept = _kept_columns(depth.shape, alignment_max_res)
    thinned = valid[:, kept]
    if not thinned.any():
        raise ValueError(f"no valid pixel is left at alignment_max_res {alignment_max_res}; expected more, or None")
    return affine_fit(prediction[:, kept][thinned], depth[:, kept][thinned])


def affine_fit(x: Array, y: Array, weights: Array | float = 1.0) -> tuple[float, float]:
    """(scale, shift) with the least sum of weights * (scale * x + shift - y)**2, in double precision.

    x, y (N,), finite. weights (N,) >= 0, or one for all. Raises ValueError when x has fewer than two distinct values
    with a weight above 0: any scale would do.
    """
    weights = np.broadcast_to(np.asarray(weights, np.float64), x.shape)
    counted = x[weights > 0]
    if counted.size == 0 or counted.min() == counted.max():
        raise ValueError(f"the prediction is constant over the {counted.size} pixels to align, so its scale is unknown")
    weights = weights / weights.sum()
    x, y = x.astype(np.float64), y.astype(np.float64)
    x_mean, y_mean = float(weights @ x), float(weights @ y)
    scale = float(weights @ ((x - x_mean) * (y - y_mean)) / (weights @ (x - x_mean) ** 2))
    return scale, y_mean - scale * x_mean


def _check(prediction: Array, depth: Array, valid: Array) -> None:
    if not prediction.shape == depth.shape == valid.shape or depth.ndim != 2:
        raise ValueError(
            f"prediction is {prediction.shape}, depth {depth.shape}, valid {valid.shape}; expected (H, W), all the same"
        )
    if valid.dtype != np.bool_:
        raise ValueError(f"valid is {valid.dtype}, expected bool")
    if not valid.any():
        raise ValueError(f"none of the {valid.size} pixels is valid; leave this image out of the evaluation")
    if broken := int(np.count_nonzero(~np.isfinite(prediction[valid]))):
        raise ValueError(f"the prediction is not finite at {broken} of {np.count_nonzero(valid)} valid pixels")
    truth = depth[valid]
    if not (np.isfinite(truth) & (truth > 0)).all():
        raise ValueError(f"depth is {truth.min()} to {truth.max()} where it is valid, expected positive and finite")


def _kept_columns(shape: tuple[int, ...], max_res: int | None) -> Array | slice:
    """The columns that the alignment looks at. Rows all stay: the original hands its (1, H, W) maps to a nearest
    resampling that takes H for channels, and whoever wants its numbers thins alike."""
    factor = 1.0 if max_res is None else max_res / max(shape)
    if factor >= 1:
        return slice(None)
    columns = np.arange(int(shape[1] * factor), dtype=np.float32) * np.float32(1 / factor)
    return np.minimum(columns.astype(np.int64), shape[1] - 1)

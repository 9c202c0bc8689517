"""Where the scale and shift of a metric depth map come from: from parameters, or fitted to sparse depth."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_perception.depth.camera import Camera
from psr_perception.depth.local_fit import fit_locally
from psr_perception.depth.sparse_fit import Agreement, fit_sparse, points_of
from psr_perception.frames import NANOSECONDS

Array = NDArray[Any]
SOURCES = ("none", "parameters", "depth", "points")
FITS = ("global", "local")
KEPT = 10  # sparse messages


@dataclass(frozen=True)
class MetricSettings:
    """How depth becomes metric. Raises ValueError naming the field, its value, what was expected.

    source: none: not at all; parameters: scale * relative + shift; depth, points: fitted to sparse depth. scale > 0 and
    shift: metres. max_age: seconds between an image and the sparse depth fitted to it, at most. points: of the sparse
    depth so many are fitted, drawn at random but always alike; 0: all. fit: global: one scale and one shift for the
    image; local: beyond them, drawn to the points that agree. min_depth, max_depth: metres; what lies outside
    becomes NaN.
    """

    source: str = "none"
    scale: float = 0.0
    shift: float = 0.0
    max_age: float = 0.5
    points: int = 0
    fit: str = "local"
    min_depth: float = 0.1
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"metric_source is {self.source!r}, expected one of: {', '.join(SOURCES)}")
        if self.fit not in FITS:
            raise ValueError(f"sparse_fit is {self.fit!r}, expected one of: {', '.join(FITS)}")
        if self.source == "parameters" and not self.scale > 0:
            raise ValueError(f"scale is {self.scale:g}, expected metres above 0 with metric_source 'parameters'")
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(
                f"min_depth is {self.min_depth:g} and max_depth {self.max_depth:g}, expected 0 <= min_depth < max_depth"
            )


@dataclass(frozen=True)
class SparseDepth:
    """Sparse depth of one moment: stamp (ns), frame, and how to get its points (N, 3), row, column, metres, in an
    image of a camera; that may raise ValueError."""

    stamp: int
    frame: str
    points: Callable[[Camera], Array]


class SparseBuffer:
    """The last few messages with sparse depth, and the best for the image that is being worked on. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[SparseDepth] = deque(maxlen=KEPT)
        self._watched: int | None = None
        self._best: SparseDepth | None = None

    def add(self, sparse: SparseDepth) -> None:
        """Take a message."""
        with self._lock:
            self._kept.append(sparse)
            if self._watched is not None:
                self._best = self._nearest(self._watched)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._watched = self._best = None

    def watch(self, stamp: int) -> None:
        """From now on keep what is nearest to a stamp (ns), however many come while its image is worked on."""
        with self._lock:
            self._watched, self._best = stamp, None
            self._best = self._nearest(stamp)

    def nearest(self, stamp: int, max_age: float) -> SparseDepth:
        """The one nearest in time to a stamp (ns). Raises ValueError if none is within max_age seconds."""
        with self._lock:
            found = self._nearest(stamp)
        if found is None:
            raise ValueError("no sparse depth has come yet")
        apart = abs(found.stamp - stamp) / NANOSECONDS
        if apart > max_age:
            raise ValueError(
                f"the nearest sparse depth is {apart:.3g} s from the image, expected at most sparse_max_age = "
                f"{max_age:g} s; are both stamped by one clock?"
            )
        return found

    def _nearest(self, stamp: int) -> SparseDepth | None:
        kept = [*self._kept, self._best] if self._best else self._kept
        return min(kept, key=lambda sparse: abs(sparse.stamp - stamp), default=None)


@dataclass(frozen=True, eq=False)
class MetricDepth:
    """depth: (H, W) float32, metres, NaN where unknown or outside the limits; None where none could be made, and
    problem says why. scale, shift: as used, 0 where unknown. fit: what they come from, also a bad one, or None."""

    depth: Array | None = None
    problem: str = ""
    scale: float = 0.0
    shift: float = 0.0
    fit: Agreement | None = None


def metric_depth(
    relative: Array, stamp: int, frame: str, camera: Camera, settings: MetricSettings, buffer: SparseBuffer
) -> MetricDepth:
    """Relative depth (H, W) of the camera's image, stamp in ns, made metric where the settings' source allows it.

    A fit that is refused, or not good, makes no depth.
    """
    fit: Agreement | None = None
    scale, shift = settings.scale, settings.shift
    if settings.source == "none":
        return MetricDepth()
    if settings.source == "parameters":
        depth = (scale * relative.astype(np.float64) + shift).astype(np.float32)
    else:
        try:
            points = _points(buffer, stamp, frame, camera, settings)
            line = fit_sparse(relative, points)
        except ValueError as error:
            return MetricDepth(problem=f"no metric depth: {error}")
        scale, shift = line.scale, line.shift
        if settings.fit == "local":
            fit = local = fit_locally(relative, points, line)
            depth = local.depth
        else:
            fit, depth = line, line.depth(relative)
        if not fit.is_good:
            return MetricDepth(
                None,
                f"no metric depth: {fit.inliers} of {fit.points} points agree with the fit, off by {fit.residual:.1%} "
                "in the median, expected half of them within 10 %; is the sparse depth of this camera, and rectified?",
                scale,
                shift,
                fit,
            )
    depth[~((depth > 0) & (depth >= settings.min_depth) & (depth <= settings.max_depth))] = np.nan
    if np.isnan(depth).all():
        problem = f"no metric depth: no pixel lies within {settings.min_depth:g} to {settings.max_depth:g} m"
        return MetricDepth(None, f"{problem}; widen min_depth and max_depth, or mend the scale", scale, shift, fit)
    return MetricDepth(depth, "", scale, shift, fit)


def sparse_image_points(depth: Array, camera: Camera) -> Array:
    """Points (N, 3) in the camera's image: the valid pixels of a depth image in metres, which may have another size.

    Raises ValueError where its shape is not the image's: another view.
    """
    height, width = depth.shape
    if abs(height * camera.width - width * camera.height) > max(camera.width, camera.height):
        raise ValueError(
            f"the sparse depth image has {width} x {height} pixels, the image {camera.width} x {camera.height}: "
            "another shape; register it to the image"
        )
    points = points_of(depth)
    points[:, :2] = (points[:, :2] + 0.5) * (camera.height / height, camera.width / width) - 0.5
    return points


def _points(buffer: SparseBuffer, stamp: int, frame: str, camera: Camera, settings: MetricSettings) -> Array:
    sparse = buffer.nearest(stamp, settings.max_age)
    if sparse.frame != frame:
        raise ValueError(
            f"the sparse depth is in frame {sparse.frame!r}, the image in {frame!r}; transform it into the camera's "
            "optical frame first"
        )
    points = sparse.points(camera)
    if 0 < settings.points < len(points):
        points = points[np.random.default_rng(0).choice(len(points), settings.points, replace=False)]
    return points

"""What a relative depth map is worth where some sparse depth is known: against what the sparse points say alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.statistics import bootstrap_ratio
from psr_core.steering import Steering
from psr_eval.depth_estimates import DepthData, DepthRun
from psr_eval.depth_rows import Row
from psr_eval.kept import KeptResults
from psr_eval.report_text import head, line
from psr_perception.depth.local_fit import fit_locally, interpolate_planes
from psr_perception.depth.sparse_fit import FitRefused, fit_sparse, interpolate_linear, interpolate_nearest

ALONE = ("constant", "nearest point", "linear between points", "planes through points")  # what needs no map
FITTED = ("fit", "fit, drawn to the points")
METHODS = ALONE + FITTED

Array = NDArray[Any]


@dataclass(frozen=True)
class SparseSettings:
    """points: of each image; outliers: of them, the share whose depth is drawn at random between half the nearest and
    one and a half times the farthest depth of the image. Raises ValueError naming the field."""

    points: int = 200
    outliers: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"points is {self.points}, expected 1 or more")
        if not 0 <= self.outliers < 1:
            raise ValueError(f"outliers is {self.outliers}, expected a share of at least 0 and below 1")


@dataclass(frozen=True)
class Result:
    """A method on all images. error: mean of the images' median relative errors; against: for each method of ALONE by
    which share the error is lower than that one's, with its 95 % bootstrap interval. refused: images where
    one scale and one shift are no good fit, and the constant stands in."""

    method: str
    error: float
    quartiles: tuple[float, float]
    against: dict[str, tuple[float, float, float]]
    refused: int


def draw_points(depth: Array, valid: Array, settings: SparseSettings, number: int) -> Array:
    """Points (N, 3), row, column, metres, of an image's true depth (H, W), outliers among them; always the same ones.

    All valid pixels where there are fewer than were asked for.
    """
    rng = np.random.default_rng([settings.seed, number])
    rows, columns = np.nonzero(valid)
    chosen = rng.choice(len(rows), min(settings.points, len(rows)), replace=False)
    points = np.column_stack([rows[chosen], columns[chosen], depth[rows[chosen], columns[chosen]]]).astype(np.float64)
    wrong = rng.choice(len(points), round(settings.outliers * len(points)), replace=False)
    points[wrong, 2] = rng.uniform(0.5 * depth[valid].min(), 1.5 * depth[valid].max(), len(wrong))
    return points


def estimates(relative: Array, points: Array) -> dict[str, Array | None]:
    """Metric depth (H, W) by method; None where the fit is refused, or not good."""
    shape = relative.shape
    found: dict[str, Array | None] = {
        "constant": np.full(shape, np.median(points[:, 2])),
        "nearest point": interpolate_nearest(points, shape),
        "linear between points": interpolate_linear(points, shape),
        "planes through points": interpolate_planes(points, shape),
        **dict.fromkeys(FITTED),
    }
    try:
        fit = fit_sparse(relative, points)
    except FitRefused:
        return found
    local = fit_locally(relative, points, fit)
    if fit.is_good:
        found[FITTED[0]] = fit.depth(relative)
    if local.is_good:
        found[FITTED[1]] = local.depth
    return found


def median_error(depth: Array, truth: Array, valid: Array) -> float:
    """Median of |depth - truth| / truth over valid pixels; a pixel without depth counts as wrong by all of it."""
    error = np.abs(depth - truth)[valid] / truth[valid]
    return float(np.median(np.where(np.isfinite(error), error, 1.0)))


def measure(
    run: DepthRun,
    data: DepthData,
    numbers: Sequence[int],
    steering: Steering,
    settings: SparseSettings,
    path: Path,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Mapping[str, Any]]:
    """For each image the errors by method and whether the fit was refused; what `path` has is not measured again."""
    row = Row("ddim", 1, steering)
    kept = KeptResults(path, {**run.facts(), "data_sha256": data.sha256, "row": asdict(row), **asdict(settings)})
    for done, number in enumerate(numbers):
        report(done, len(numbers), "")
        if kept.get({"image": number}) is None:
            sample = data.dataset[number]
            points = draw_points(sample.depth, sample.valid, settings, number)
            found = estimates(run.estimate(row, number, sample.rgb), points)
            depths = {name: depth if depth is not None else found["constant"] for name, depth in found.items()}
            errors = {name: median_error(depth, sample.depth, sample.valid) for name, depth in depths.items()}
            kept.add({"image": number}, {"errors": errors, "refused": found["fit"] is None})
    report(len(numbers), len(numbers), "")
    return [kept.get({"image": number}) for number in numbers]


def compare(measured: Sequence[Mapping[str, Any]]) -> list[Result]:
    """The methods side by side, over the same images."""
    errors = {name: np.array([each["errors"][name] for each in measured]) for name in METHODS}
    refused = sum(each["refused"] for each in measured)
    results = []
    for name, values in errors.items():
        against = {other: _lower_by(errors[other], values) for other in ALONE if other != name}
        low, high = np.quantile(values, [0.25, 0.75])
        quartiles = float(low), float(high)
        results.append(Result(name, float(values.mean()), quartiles, against, refused if name == FITTED[0] else 0))
    return results


def _lower_by(base: Array, other: Array) -> tuple[float, float, float]:
    """By which share the mean of `other` lies below that of `base`, with its interval."""
    ratio, low, high = bootstrap_ratio(base, other)
    return 1 - ratio, 1 - high, 1 - low


def as_markdown(results: Sequence[Result], facts: Mapping[str, Any]) -> str:
    """The whole report as text."""
    columns = [f"lower than {name} by [95 %]" for name in ALONE]
    rows = [head(["depth of a pixel", "median relative error ↓", "quartiles over images", *columns])]
    for each in results:
        cells = [f"{g:.0%} [{low:.0%}, {high:.0%}]" for g, low, high in _cells(each)]
        cells = [cells.pop(0) if name in each.against else "–" for name in ALONE]
        quartiles = " to ".join(f"{100 * value:.2f}" for value in each.quartiles)
        rows.append(line([each.method, f"{100 * each.error:.2f} %", quartiles, *cells]))
    refused = max(each.refused for each in results)
    parts = [
        f"# Depth from {facts['points']} sparse points, {facts['outliers']:.0%} of them outliers: {facts['data']}",
        f"{facts['images']} images; {facts['checkpoint']} under {facts['steering']}, "
        f"{facts['num_inference_steps']} network calls; seed {facts['seed']}.",
        "\n".join(rows),
        "* Median relative error: of the valid pixels of an image, then the mean over images. [95 %]: bootstrap over "
        "images of the ratio of means, paired. constant: the points' median.\n"
        f"* On {refused} images one scale and one shift were no good fit; the constant stands in for them there.\n"
        "* Outliers lie anywhere between half the nearest and one and a half times the farthest depth of their image. "
        "The constant, the nearest point and lines take all points as they are; planes and fits leave out those which "
        "do not agree.",
    ]
    return "\n\n".join(parts) + "\n"


def _cells(result: Result) -> list[tuple[float, float, float]]:
    return [result.against[name] for name in ALONE if name in result.against]

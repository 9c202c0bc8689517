"""Images, their true depth, what settings make of them, and where they err, as in the thesis' figure 1.6."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from psr_eval.depth_comparison import BEATS, Comparison
from psr_eval.depth_estimates import DepthData
from psr_eval.depth_rows import Row
from psr_perception.depth.datasets import Sample
from psr_perception.depth.metrics import SMALLEST_DEPTH, align

SHOWN = 4
SIDE = 2.3  # inches, an image's width
MOST_PIXELS = 640  # of the longer side in the picture
INVALID = "0.85"

Array = NDArray[Any]


@dataclass(frozen=True)
class Map:
    """An estimate in metres (H, W) after its alignment, and its relative error |p - d| / d, NaN where invalid."""

    depth: Array
    error: Array


def shown_rows(comparison: Comparison) -> list[Row]:
    """The baseline; the PSR row that was chosen against it, or the only one; the largest ensemble without steering."""
    chosen = [answer.row for answer in comparison.answers if answer.question == BEATS]
    same = [row for row in chosen if row.ensemble == comparison.baseline.ensemble]
    stock = [result.row for result in comparison.results if result.row.is_stock]
    return list(dict.fromkeys([comparison.baseline, *same[-1:], max(stock, key=lambda row: row.ensemble)]))


def shown_numbers(numbers: Sequence[int]) -> list[int]:
    """A few of the images, evenly spread, whatever was found on them."""
    count = min(SHOWN, len(numbers))
    return [numbers[(2 * place + 1) * len(numbers) // (2 * count)] for place in range(count)]


def pictures(
    data: DepthData, numbers: Sequence[int], rows: Sequence[Row], estimate: Callable[[Row, int, Array], Array]
) -> bytes:
    """PNG: two lines an image, its depth maps above, their errors below; a column for each row.

    estimate: (row, image number, rgb) -> relative depth (H, W). The depth maps of an image share a scale of colours,
    and all errors share one.
    """
    found = []
    for number in numbers:
        sample = data.dataset[number]
        found.append((sample, [_map(data, sample, estimate(row, number, sample.rgb)) for row in rows]))
    errors = np.concatenate([each.error[np.isfinite(each.error)] for _, maps in found for each in maps])
    worst = float(np.quantile(errors, 0.98)) or 1e-3
    columns, height = 2 + len(rows), SIDE * found[0][0].depth.shape[0] / found[0][0].depth.shape[1]
    figure = Figure(figsize=(SIDE * columns, (2 * max(height, 0.9) + 0.3) * len(found) + 0.4), layout="constrained")
    grid: Any = figure.subplots(2 * len(found), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, (sample, maps) in enumerate(found):
        _draw(figure, grid[2 * place : 2 * place + 2], sample, maps, worst)
    for axes, title in zip(grid[0], ["image", "true depth", *(row.name for row in rows)], strict=True):
        axes.set_title("\n".join(textwrap.wrap(title, 30)), fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _map(data: DepthData, sample: Sample, relative: Array) -> Map:
    scale, shift = align(relative, sample.depth, sample.valid, data.alignment_max_res)
    limits = data.dataset.min_depth, data.dataset.max_depth
    depth = np.maximum(np.clip(scale * relative.astype(np.float64) + shift, *limits), SMALLEST_DEPTH)
    truth = np.where(sample.valid, sample.depth, np.nan)
    return Map(depth, np.abs(depth - truth) / truth)


def _draw(figure: Figure, lines: Any, sample: Sample, maps: Sequence[Map], worst: float) -> None:
    truth = np.where(sample.valid, sample.depth, np.nan)
    near, far = np.nanquantile(truth, [0.01, 0.99])
    depth: Any = {"cmap": colormaps["Spectral"].with_extremes(bad=INVALID), "vmin": near, "vmax": far}
    error: Any = {"cmap": colormaps["inferno"].with_extremes(bad=INVALID), "vmin": 0, "vmax": worst}
    lines[0][0].imshow(_thinned(sample.rgb))
    drawn = {"depth, m": lines[0][1].imshow(_thinned(truth), **depth)}
    for above, below, each in zip(lines[0][2:], lines[1][2:], maps, strict=True):
        above.imshow(_thinned(each.depth), **depth)
        drawn["relative error (one scale for all)"] = below.imshow(_thinned(each.error), **error)
        below.set_title(f"AbsRel {100 * np.nanmean(each.error):.2f} %", fontsize=8, pad=3)
    for place, (label, image) in enumerate(drawn.items()):  # in the empty field below the true depth
        bar = figure.colorbar(
            image, cax=lines[1][1].inset_axes([0.05, 0.8 - 0.5 * place, 0.9, 0.1]), orientation="horizontal"
        )
        bar.ax.tick_params(labelsize=7)
        bar.set_label(label, fontsize=7)


def _thinned(pixels: Array) -> Array:
    step = -(-max(pixels.shape[:2]) // MOST_PIXELS)
    return pixels[::step, ::step]

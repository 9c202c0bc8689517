"""Pictures of steered rotation sampling: the mean error over (k, σ), and samples on the sphere."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from psr_core import so3
from psr_eval.pose_comparison import Comparison, Result
from psr_eval.pose_images import SolidImages
from psr_eval.pose_rows import Row, stock_row
from psr_perception.pose.symmetry import Symmetry

TURNS = 180  # of a continuous symmetry, drawn as so many rotations
EXAGGERATION = 15.0  # the thesis', of how far samples are from the nearest truth; less where they are far
SEEN = 8.0  # degrees at which the baseline's median error is drawn, at most
VIEW = so3.exp(torch.tensor([0, 0, 0.2])) @ so3.exp(torch.tensor([0, 0.2, 0])) @ so3.exp(torch.tensor([0.2, 0, 0]))


def sweep(comparison: Comparison) -> bytes | None:
    """PNG: mean error over k, a line for each σ, as figure A.1 has it; a panel for each sampler, capped or not.

    Bars are the 95 % intervals of the paired difference to score sampling by the same steps: a bar that stays clear of
    its line is a difference. None unless some panel has two k.
    """
    panels: dict[str, list[Result]] = {}
    for each in comparison.results:
        if each.row.is_psr:
            cap = ", capped" * each.row.steering.cap
            panels.setdefault(f"PSR{cap}, {each.row.sampler}", []).append(each)
    panels = {name: found for name, found in panels.items() if len({each.row.steering.k for each in found}) > 1}
    if not panels:
        return None
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    grid: Any = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (name, found) in zip(grid, panels.items(), strict=True):
        _lines(axes, found, comparison)
        axes.set_title(name, fontsize=10)
    grid[0].set_ylabel("mean error, degrees")
    return _png(figure)


def _lines(axes: Any, found: Sequence[Result], comparison: Comparison) -> None:
    stock = stock_row([each.row for each in comparison.results], found[0].row)
    assert stock is not None
    level = comparison.result(stock).scores.error.mean
    axes.axhline(level, color="0.4", linestyle="--", label="score sampling")
    for sigma in sorted({each.row.steering.sigma for each in found}):
        points = sorted((each.row.steering.k, each) for each in found if each.row.steering.sigma == sigma)
        gains = [each.steered.degrees for _, each in points if each.steered is not None]
        bars = [[gain.high - gain.mean for gain in gains], [gain.mean - gain.low for gain in gains]]
        ks, errors = [k for k, _ in points], [level - gain.mean for gain in gains]
        axes.errorbar(ks, errors, bars, marker="o", markersize=4, capsize=2, label=f"σ = {sigma:g}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted(lambda value, _: f"{value:.4g}")
    axes.tick_params(axis="y", which="both", labelsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = sorted({each.row.steering.k for each in found})
    axes.set_xticks(ticks, [f"{k:g}" for k in ticks])
    axes.set_xlabel("k")
    axes.legend(fontsize=8)


def spheres(
    data: SolidImages, numbers: Sequence[int], rows: Sequence[Row], sample: Callable[[Row, int], Tensor], size: int
) -> bytes:
    """PNG: a line for each image, with its picture and the samples of each row on the sphere, as figure 1.5 has them.

    sample: (row, image number) -> rotations (n, 3, 3). size: pixels of an image. A dot stands where a sample takes the
    object's x axis (Mollweide projection), its colour is the turn about it; circles are what looks like the truth. How
    far samples are from the nearest of these is exaggerated, for all rows of an image alike. Source: implicit_pdf,
    visualize_so3_probabilities, with its view.
    """
    columns = 1 + len(rows)
    figure = Figure(figsize=(2 + 4.2 * len(rows), 2.5 * len(numbers) + 0.4), layout="constrained")
    grid = figure.add_gridspec(len(numbers), columns, width_ratios=[2, *[4.2] * len(rows)])
    for place, number in enumerate(numbers):
        picture = figure.add_subplot(grid[place, 0])
        picture.imshow(data.images([number], size)[0], cmap="gray", vmin=0, vmax=1)
        picture.set_axis_off()
        truth, symmetry = data.rotations([number])[0], data.symmetry(number)
        found = [sample(row, number) for row in rows]
        factor = _factor(symmetry, truth, found[0])
        picture.set_title(f"{data.shape(number)}, errors x {factor:.2g}", fontsize=9)
        for column, (row, rotations) in enumerate(zip(rows, found, strict=True), 1):
            axes = figure.add_subplot(grid[place, column], projection="mollweide")
            _sphere(axes, rotations, truth, symmetry, factor)
            error = float(symmetry.distance(truth, rotations).rad2deg().mean())
            name = "\n".join(textwrap.wrap(row.name, 44)) + "\n" if place == 0 else ""
            axes.set_title(f"{name}mean error {error:.2f}°", fontsize=9)
    return _png(figure)


def alike(rotation: Tensor, symmetry: Symmetry) -> Tensor:
    """Rotations (n, 3, 3) that look like one (3, 3): all, or TURNS about each continuous axis."""
    found = rotation @ symmetry.elements.to(rotation)
    if symmetry.axis is None:
        return found
    angles = 2 * math.pi / TURNS * torch.arange(TURNS)
    turned: Tensor = found[:, None] @ so3.exp(angles[:, None] * symmetry.axis.to(rotation))
    return turned.flatten(0, 1)


def exaggerated(rotations: Tensor, truth: Tensor, symmetry: Symmetry, factor: float) -> Tensor:
    """Samples (n, 3, 3), each `factor` times as far from the nearest rotation that looks like the truth (3, 3)."""
    nearest = symmetry.nearest(truth.expand_as(rotations), rotations)
    offsets = factor * so3.log(nearest.mT @ rotations)
    angle = torch.linalg.vector_norm(offsets, dim=-1, keepdim=True)
    return nearest @ so3.exp(offsets * (math.pi / angle).clamp(max=1))  # not past half a turn


def longitude_latitude_tilt(rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rotations (n, 3, 3) take the x axis, and the turn about it, rad (n,)."""
    x, y, z = rotations[:, :, 0].unbind(-1)
    return torch.atan2(x, -y), torch.asin(z.clamp(-1, 1)), torch.atan2(rotations[:, 2, 1], rotations[:, 2, 2])


def _factor(symmetry: Symmetry, truth: Tensor, rotations: Tensor) -> float:
    median = float(symmetry.distance(truth, rotations).rad2deg().median())
    return min(EXAGGERATION, max(1.0, SEEN / max(median, 1e-6)))


def _sphere(axes: Any, rotations: Tensor, truth: Tensor, symmetry: Symmetry, factor: float) -> None:
    hue = colormaps["hsv"]
    longitude, latitude, tilt = longitude_latitude_tilt(alike(truth, symmetry) @ VIEW.to(truth))
    axes.scatter(longitude, latitude, s=150, facecolors="none", edgecolors=hue(0.5 + tilt / (2 * math.pi)), linewidth=2)
    axes.scatter(longitude, latitude, s=150, facecolors="white", edgecolors="none")
    shown = exaggerated(rotations, truth, symmetry, factor) @ VIEW.to(rotations)
    longitude, latitude, tilt = longitude_latitude_tilt(shown)
    axes.scatter(longitude, latitude, s=3, color=hue(0.5 + tilt / (2 * math.pi)), linewidths=0)
    axes.grid(linewidth=0.3)
    axes.set_xticklabels([])
    axes.set_yticklabels([])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()

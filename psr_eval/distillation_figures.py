"""Pictures of the distillation toys: where particles end, and what loss they descend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from psr_eval.distillation_results import Case
from psr_eval.distillation_rows import HALF_BOX
from psr_eval.gradient_fields import CELLS, EXTENT
from psr_eval.toy_figures import write_png

SHOWN = (
    ("truth", "truth"),
    ("DDIM", "DDIM"),
    ("SDS", "SDS"),
    ("ASD", "ASD"),
    ("HiFA", "HiFA"),
    ("VSD", "VSD"),
    ("Consistent3D", "Consistent3D"),
    ("SDI, to little noise", "SDI,\nto little noise"),
    ("DSD", "DSD"),
    ("DSD, grid 50", "DSD, grid 50"),
    ("MSD, plain descent", "MSD,\nplain descent"),
    ("MSD, one call", "MSD, one call"),
)
INSIDE, OUTSIDE = "#1f6fd6", "#d62728"
WINDOW = 2.7
FINE = 240  # points of a side of the density's surface

Surface = tuple[Any, Any, Any]


def write_samples(cases: Sequence[Case], path: Path) -> None:
    """A row for each density and prior, a column for each method: particles over the density, red ones outside it."""
    columns = [(name, text) for name, text in SHOWN if any(name in case.entries for case in cases)]
    figure = Figure(figsize=(1.45 * len(columns) + 0.4, 1.5 * len(cases) + 0.6), layout="constrained")
    grid: Any = figure.subplots(len(cases), len(columns), squeeze=False)
    for axes_row, case in zip(grid, cases, strict=True):
        surface = _surface(case)
        for axes, (name, _) in zip(axes_row, columns, strict=True):
            _panel(axes, case, name, surface)
        axes_row[0].set_ylabel(case.name, fontsize=9)
    for axes, (_, text) in zip(grid[0], columns, strict=True):
        axes.set_title(text, fontsize=9)
    write_png(figure, path)


def _panel(axes: Any, case: Case, name: str, surface: Surface) -> None:
    axes.contourf(*surface, levels=[case.known.truth.edge, np.inf], colors=["#dddddd"])
    if name in case.entries:
        points = np.array(case.entries[name].result["points"])
        inside = case.known.mixture.log_density(torch.from_numpy(points)).numpy() > case.known.truth.edge
        for which, colour in ((inside, INSIDE), (~inside, OUTSIDE)):
            axes.scatter(*points[which].T, s=3, c=colour, linewidths=0, alpha=0.8)
        gone = (np.abs(points) > WINDOW).any(1).mean()
        if gone > 0.02:
            axes.text(0.5, 0.02, f"{gone:.0%} beyond", transform=axes.transAxes, ha="center", fontsize=7)
    axes.set(xlim=(-WINDOW, WINDOW), ylim=(-WINDOW, WINDOW), aspect="equal", xticks=[], yticks=[])


def _surface(case: Case) -> Surface:
    """Both sides and the log density (n, n) over the window."""
    side = torch.linspace(-WINDOW, WINDOW, FINE)
    y, x = torch.meshgrid(side, side, indexing="ij")
    density = case.known.mixture.log_density(torch.stack([x.flatten(), y.flatten()], 1))
    return side.numpy(), side.numpy(), density.view(FINE, FINE).numpy()


def write_landscapes(cases: Sequence[Case], path: Path) -> None:
    """A row for each density, a column for each landscape: dark is low loss, lines surround what is inside the truth,
    arrows go downhill."""
    shown = [case for case in cases if case.grounds]
    columns = max(len(case.grounds) for case in shown)
    figure = Figure(figsize=(2.3 * columns + 0.4, 2.35 * len(shown) + 0.5), layout="constrained")
    grid: Any = figure.subplots(len(shown), columns, squeeze=False)
    side = np.linspace(-EXTENT, EXTENT, CELLS)
    for axes_row, case in zip(grid, shown, strict=True):
        surface = _surface(case)
        for axes, ground in zip(axes_row, case.grounds, strict=False):
            # Ranks, as methods' losses differ in shape and scale: a colour is the share of the square that is lower.
            ranks = ground.loss.ravel().argsort().argsort().reshape(ground.loss.shape)
            axes.contourf(side, side, ranks, levels=24, cmap="viridis")
            slope = np.gradient(-ground.loss, side[1] - side[0])
            size = np.hypot(*slope) + 1e-12
            every = slice(1, None, 4)
            arrows = [(slope[i] / size)[every, every] for i in (1, 0)]
            axes.quiver(side[every], side[every], *arrows, color="white", scale=22, width=0.005, alpha=0.8)
            edge = dict(colors=["#ff9f1c"], linewidths=0.8, linestyles="solid")
            axes.contour(*surface, levels=[case.known.truth.edge], **edge)
            found = ground.minima
            axes.set_xlabel(f"minima: {found.count}, inside: {found.inside}", fontsize=8)
            axes.set(xlim=(-HALF_BOX, HALF_BOX), ylim=(-HALF_BOX, HALF_BOX), aspect="equal", xticks=[], yticks=[])
            axes.set_title(f"{ground.row.name}\nat {ground.share:.0%} of its run", fontsize=9)
        axes_row[0].set_ylabel(case.name, fontsize=9)
    write_png(figure, path)

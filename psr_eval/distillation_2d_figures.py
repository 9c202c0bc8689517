"""Pictures of distillation on images: every row's seeds side by side, and diversity over fidelity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from psr_eval.distillation_2d_scores import METRICS, Comparison, Entry
from psr_eval.paired import Estimate
from psr_eval.toy_figures import write_png

SHOWN = 8  # seeds
COLOURS = {"sampler": "#333333", "dsd": "#d62728", "steered": "#ff9f1c", "other": "#1f6fd6"}


def write_pictures(found: Comparison, prompt: int, path: Path) -> None:
    """The pictures of one prompt, as in the thesis' figure 2.3: a line for each row, a column for each seed."""
    shown = min(SHOWN, found.seeds)
    figure = Figure(figsize=(0.75 * shown + 1.9, 0.75 * len(found.entries) + 0.5), layout="constrained")
    grid: Any = figure.subplots(len(found.entries), 1, squeeze=False)
    for axes, (name, entry) in zip(grid[:, 0], found.entries.items(), strict=True):
        axes.imshow(np.concatenate(list(entry.results[prompt].pictures[:shown]), axis=1))
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.suptitle(f"“{found.prompts[prompt]}”: a seed in each column", fontsize=10)
    write_png(figure, path)


def write_scatter(found: Comparison, path: Path) -> None:
    """Diversity over agreement with the text and over the Fréchet distance, with intervals. Needs all three."""
    figure = Figure(figsize=(11.5, 5.2), layout="constrained")
    grid: Any = figure.subplots(1, 2, sharey=True)
    for axes, fidelity in zip(grid, ("text", "frechet"), strict=True):
        for name, entry in found.entries.items():
            x, y = found.estimate(name, fidelity), found.estimate(name, "diversity")
            if x is not None and y is not None:
                _point(axes, entry, x, y)
        heading, more_is_better = METRICS[fidelity]
        axes.set_xlabel(f"{heading} ({'more' if more_is_better else 'less'} is better)")
        axes.grid(alpha=0.3)
    grid[1].invert_xaxis()  # to the right is better in both
    grid[0].set_ylabel("diversity between seeds")
    write_png(figure, path)


def _point(axes: Any, entry: Entry, x: Estimate, y: Estimate) -> None:
    row = entry.row
    kind = "sampler" if not row.is_distillation else row.method if row.method == "dsd" else "other"
    colour = COLOURS["steered" if not row.steering.is_identity else kind]
    errors = {"xerr": (x.high - x.low) / 2, "yerr": (y.high - y.low) / 2}
    axes.errorbar(x.mean, y.mean, **errors, fmt="o", ms=4, color=colour, elinewidth=0.6, alpha=0.9)
    axes.annotate(row.name, (x.mean, y.mean), xytext=(4, 3), textcoords="offset points", fontsize=7, color=colour)

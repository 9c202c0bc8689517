"""Pictures of distillation on images: every row's seeds side by side, and diversity over fidelity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from psr_eval.distillation_2d_rows import Row
from psr_eval.distillation_2d_scores import METRICS
from psr_eval.picture_scores import Comparison
from psr_eval.toy_figures import write_png

SHOWN = 8  # seeds
GAP = 2  # pixels between two
TURNS = colormaps["tab20"].colors  # type: ignore[attr-defined]
MARKERS = {"sampler": "s", "dsd": "D", "steered": "^", "other": "o"}


def write_pictures(found: Comparison, prompt: int, path: Path) -> None:
    """The pictures of one prompt, as in the thesis' figure 2.3: a line for each row, a column for each seed."""
    shown = min(SHOWN, found.seeds)
    words = 0.1 * max(map(len, found.entries)) + 0.2  # inches, of the longest name
    figure = Figure(figsize=(0.75 * shown + words, 0.75 * len(found.entries) + 0.5), layout="constrained")
    grid: Any = figure.subplots(len(found.entries), 1, squeeze=False)
    for axes, (name, entry) in zip(grid[:, 0], found.entries.items(), strict=True):
        apart = [np.pad(one, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for one in entry.results[prompt].pictures]
        axes.imshow(np.concatenate(apart[:shown], axis=1))
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for side in axes.spines.values():
            side.set_visible(False)
    figure.suptitle(f"“{found.prompts[prompt]}”: a seed in each column", fontsize=10)
    write_png(figure, path)


def write_scatter(found: Comparison, path: Path) -> None:
    """Diversity over agreement with the text and over the Fréchet distance, with intervals. Needs all three."""
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    grid: Any = figure.subplots(1, 2, sharey=True)
    for axes, fidelity in zip(grid, ("text", "frechet"), strict=True):
        for number, (name, entry) in enumerate(found.entries.items()):
            x, y = found.estimate(name, fidelity), found.estimate(name, "diversity")
            if x is not None and y is not None:
                errors = {"xerr": (x.high - x.low) / 2, "yerr": (y.high - y.low) / 2, "elinewidth": 0.5}
                style = {"fmt": MARKERS[_kind(entry.row)], "color": TURNS[number % len(TURNS)], "ms": 6}
                axes.errorbar(x.mean, y.mean, label=name, alpha=0.85, **errors, **style)
        heading, more_is_better = METRICS[fidelity]
        axes.set_xlabel(f"{heading} ({'more' if more_is_better else 'less'} is better)")
        axes.grid(alpha=0.3)
    grid[1].invert_xaxis()  # to the right is better in both
    grid[0].set_ylabel("diversity between seeds")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    write_png(figure, path)


def _kind(row: Row) -> str:
    if not row.steering.is_identity:
        return "steered"
    return "sampler" if not row.is_distillation else "dsd" if row.method == "dsd" else "other"

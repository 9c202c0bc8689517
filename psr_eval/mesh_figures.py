"""Pictures of the objects of every row: seeds and some of their views side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from psr_eval.mesh_runs import AZIMUTHS
from psr_eval.picture_scores import Comparison
from psr_eval.toy_figures import write_png

SHOWN = (0, 2, 4)  # places in AZIMUTHS: from the front, the left, the back
SEEDS = 4
GAP, BETWEEN = 1, 6  # pixels between two views, and between two seeds


def write_objects(found: Comparison, prompt: int, path: Path) -> None:
    """The objects of one prompt, as in the thesis' figure 2.5: a line for each row, three views of each seed."""
    shown = min(SEEDS, found.seeds)
    words = 0.1 * max(map(len, found.entries)) + 0.2  # inches, of the longest name
    size = (0.7 * shown * len(SHOWN) + words, 0.7 * len(found.entries) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid: Any = figure.subplots(len(found.entries), 1, squeeze=False)
    for axes, (name, entry) in zip(grid[:, 0], found.entries.items(), strict=True):
        objects = [result for result in entry.results if result.job.prompt == found.prompts[prompt]]
        axes.imshow(np.concatenate([_beside(one.pictures) for one in objects[:shown]], axis=1))
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for side in axes.spines.values():
            side.set_visible(False)
    views = ", ".join(f"{AZIMUTHS[place]:g}°" for place in SHOWN)
    figure.suptitle(f"“{found.prompts[prompt]}”: of each seed views from {views}", fontsize=10)
    write_png(figure, path)


def _beside(pictures: Any) -> Any:
    views = [pictures[place] for place in SHOWN]
    apart = [np.pad(view, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for view in views]
    return np.pad(np.concatenate(apart, axis=1), ((0, 0), (0, BETWEEN - GAP), (0, 0)), constant_values=255)

"""What mean-shift distillation sees at a bandwidth: samples near a picture, early, halfway and at the end of its run.

Figure 6 of Thamizharasan et al. 2025.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from psr_core.distillation.noise import SAMPLER
from psr_core.distillation.product import product_sample
from psr_eval.distillation_2d import Setting, pixels_of
from psr_eval.distillation_2d_rows import METHOD_ROWS, trainer_of
from psr_eval.image_files import Pixels
from psr_eval.toy_figures import write_png

RUN = next(row for row in METHOD_ROWS if row.name == "MSD, plain descent")
SHARES = (0.0, 0.5, 1.0)  # of the run, where it is looked at
DRAWS = 4


class Seen(NamedTuple):
    """picture (H, W, 3) uint8 after a share of a run, whose method has there the bandwidth `width`; draws: for each
    bandwidth, (DRAWS, H, W, 3) uint8."""

    width: float
    picture: Pixels
    draws: dict[float, Pixels]


def look(setting: Setting, prompt: str) -> list[Seen]:
    """Runs MSD with one seed, and draws at each share of SHARES from the product at every bandwidth that it has there.

    Raises ValueError as Setting.steps."""
    steps = setting.steps(RUN)
    trainer = trainer_of(RUN, setting.prior, prompt, steps, seed=setting.seed, picture="latent")
    method: Any = trainer.run.method
    at = [round(share * (steps - 1)) for share in SHARES]
    widths = [method.width(step) for step in at]
    found = []
    for step in at:
        trainer.run.run(step)
        view = trainer.run.scene.view(step).detached()
        rows = view.rows(torch.zeros(DRAWS, dtype=torch.int64, device=view.x.device))
        noise = torch.cat([method.draw(view, step, SAMPLER, draw) for draw in range(DRAWS)])
        draws = {}
        for width in widths:
            common = (method.guidance, method.sampler_steps)
            with torch.no_grad():
                draws[width] = _decoded(
                    setting, product_sample(method.prior, rows.x, width, noise, rows.prompt, *common)
                )
        found.append(Seen(method.width(step), _decoded(setting, view.x)[0], draws))
    return found


def write_bandwidths(found: list[Seen], prompt: str, path: Path) -> None:
    """A line for each bandwidth, a block for each moment: the picture, and the samples near it. The block of the
    moment's own bandwidth is framed."""
    widths = list(found[0].draws)
    figure = Figure(figsize=(9.5, 0.75 * len(widths) + 1.2), layout="constrained")
    grid: Any = figure.subplots(len(widths) + 1, len(found))
    for column, (seen, share) in enumerate(zip(found, SHARES, strict=True)):
        blank = np.full((seen.picture.shape[0], (DRAWS - 1) * seen.picture.shape[1], 3), 255, np.uint8)
        _panel(grid[0, column], np.concatenate([seen.picture, blank], axis=1), False)
        grid[0, column].set_title(f"after {share:.0%} of the run", fontsize=9)
        for axes, (width, draws) in zip(grid[1:, column], seen.draws.items(), strict=True):
            _panel(axes, np.concatenate(list(draws), axis=1), width == seen.width)
    for axes, name in zip(grid[:, 0], ("picture", *(f"λ = {width:.2g}" for width in widths)), strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.suptitle(f"“{prompt}”: samples of the prior times a Gaussian of width λ about the picture", fontsize=10)
    write_png(figure, path)


def _panel(axes: Any, strip: Pixels, framed: bool) -> None:
    axes.imshow(strip)
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=framed, edgecolor="#1f6fd6", linewidth=2)


def _decoded(setting: Setting, x: Tensor) -> Pixels:
    with torch.no_grad():
        return pixels_of(x, setting.prior.decode(x))[0]

"""What a distillation method's gradient is worth: its efficiency as an estimate, and the loss that it descends.

Source: MSD, equation 17 and figures 1 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from torch import Tensor

from psr_core.distillation.distill import Points
from psr_core.distillation.guidance import GuidedPrior
from psr_eval.distillation_rows import Row
from psr_eval.paired import Estimate, resampled_means
from psr_eval.point_metrics import Truth

PLACES, REPEATS = 128, 32  # where efficiency is measured, and how often
CELLS = 41  # of a side of a landscape
EXTENT = 2.6  # its half side
STILL = 1e-10  # least ratio of variance and squared mean that is told from 0

Array = NDArray[Any]


def gradients(row: Row, prior: GuidedPrior, x: Tensor, steps: int, share: float, seeds: range) -> Tensor:
    """Independent gradients (seeds, N, 2) of a method at points x (N, 2), after a share of a run of `steps`.

    All randomness of the method differs between seeds; within one, each point has noise of its own.
    """
    scene, step = Points(x), min(int(share * steps), steps - 1)
    with torch.no_grad():
        return torch.stack(
            [row.made(prior, steps, seed).gradients(scene.view(step).detached(), step).x for seed in seeds]
        )


def followed(row: Row, prior: GuidedPrior, x: Tensor, steps: int, share: float, seed: int) -> Tensor:
    """The gradient (N, 2) at points x (N, 2) that all have the same noise: of DSD, that of one trajectory."""
    scene, step = Points(x, seeds=torch.zeros(len(x), dtype=torch.int64)), min(int(share * steps), steps - 1)
    with torch.no_grad():
        found: Tensor = row.made(prior, steps, seed).gradients(scene.view(step).detached(), step).x
    return found


def log_efficiency(drawn: Tensor, cost: float) -> Estimate | None:
    """ln of ||E m||² / (E||m - E m||² cost), of gradients m (repeats, N, 2) at N places; None without any chance in it.

    Squares are added up over the places before the ratio is taken, and the chance in the mean is taken out of its
    square. The interval is the bootstrap's over places. A mean that cannot be told from 0 counts as STILL of the noise.
    """
    mean, repeats = drawn.double().mean(0), len(drawn)
    variance = (drawn.double() - mean).square().sum((0, 2)) / (repeats - 1)
    squares = torch.stack([mean.square().sum(1) - variance / repeats, variance], 1).numpy()
    if squares[:, 1].sum() <= STILL * max(squares[:, 0].sum(), STILL):
        return None
    resampled = resampled_means(squares, 2000)
    found = [np.log(np.maximum(part[..., 0] / part[..., 1], STILL) / cost) for part in (squares.mean(0), resampled)]
    low, high = np.quantile(found[1], [0.025, 0.975])
    return Estimate(float(found[0]), float(low), float(high))


def lattice() -> Tensor:
    """The points (CELLS², 2) of a landscape, rows of equal y one after the other."""
    side = torch.linspace(-EXTENT, EXTENT, CELLS)
    y, x = torch.meshgrid(side, side, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def integrated(field: Array) -> Array:
    """The loss (n, n) whose slope is nearest to a field (n, n, 2) of gradients (x, y) on a lattice, its least value 0.

    Least squares of differences between neighbours: Poisson's equation with free edges, solved by cosines.
    """
    n = len(field)
    pitch = 2 * EXTENT / (n - 1)
    across, down = (field[:, 1:, 0] + field[:, :-1, 0]) / 2, (field[1:, :, 1] + field[:-1, :, 1]) / 2
    divergence = np.zeros((n, n))
    divergence[:, :-1] += across
    divergence[:, 1:] -= across
    divergence[:-1] += down
    divergence[1:] -= down
    wave = 2 - 2 * np.cos(np.pi * np.arange(n) / n)
    stiffness = wave[:, None] + wave[None, :]
    stiffness[0, 0] = 1.0
    modes = dctn(-pitch * divergence, norm="ortho") / stiffness
    modes[0, 0] = 0.0
    loss: Array = idctn(modes, norm="ortho")
    return loss - loss.min()


@dataclass(frozen=True)
class Minima:
    """Local minima of a loss: how many, and how many of them are within half a cell of what is inside the truth."""

    count: int
    inside: int


def minima(loss: Array, truth: Truth) -> Minima:
    """The minima of a loss (n, n) on the lattice, its edge left out."""
    inner = loss[1:-1, 1:-1]
    around = [loss[1 + i : len(loss) - 1 + i, 1 + j : len(loss) - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    lowest = np.logical_and.reduce([inner < other for k, other in enumerate(around) if k != 4])
    rows, columns = np.nonzero(lowest)
    side = np.linspace(-EXTENT, EXTENT, len(loss))
    places = np.stack([side[columns + 1], side[rows + 1]], 1)
    offsets = np.linspace(-0.5, 0.5, 9) * (side[1] - side[0])
    near = places[:, None] + np.stack(np.meshgrid(offsets, offsets), -1).reshape(1, -1, 2)
    density = truth.mixture.log_density(torch.from_numpy(near.reshape(-1, 2))).view(len(places), -1)
    return Minima(len(places), int((density > truth.edge).any(1).sum()))

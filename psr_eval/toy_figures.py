"""Pictures of steering on Gaussian mixtures: the factor r_t, and samples beside their target.

Source: thesis "Score rescaling and diverse score distillation", figures 1.2, 1.3, 1.4, A.3 and A.4.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from psr_core.files import write_whole
from psr_core.mixtures import NamedMixture
from psr_core.steering import Steering, rescale_factor
from psr_eval.toy import KS, Cell, assign, draw, in_threads

COLOURS = ("#d62728", "#ff9f1c", "#1f6fd6", "#2ca02c", "#8c4fbf", "#7a5230")  # by mode: red, orange, blue, ...
SHOWN = 1500  # dots in a panel; the weights written in it come from all samples
STEPS, FEW_STEPS = 500, 10
SIGMA_MULTIPLES = (0.5, 1.0, 2.0, 4.0)  # of the mixture's own σ, in the figure that varies it


@dataclass(frozen=True)
class Panel:
    """One picture of samples: a heading and the cell that is drawn. plain: p itself, whatever the row's k."""

    heading: str
    cell: Cell


def compared_panels(source: NamedMixture, n: int, seed: int, nes: bool = False) -> list[list[Panel]]:
    """A row for each k: p, p̄_k, AR, NNS, NES if asked for, PSR, and PSR with the second-order integrator."""
    dials = [("Naive (NNS)", "ddpm", dict(method="nns"), STEPS)]
    if nes:
        dials.append(("NES", "ddim", dict(method="nes"), STEPS))
    dials += [
        (f"PSR, {STEPS} steps", "ddim", dict(), STEPS),
        (f"PSR + gaussian2, {FEW_STEPS} steps", "ddim", dict(integrator="gaussian2"), FEW_STEPS),
    ]
    return [
        [
            *_references(source, k, n, seed),
            Panel("AR", Cell(source, "ar", k, None, 0, n, seed)),
            *(
                Panel(heading, Cell(source, sampler, k, Steering(k=k, sigma=source.sigma, **fields), steps, n, seed))
                for heading, sampler, fields, steps in dials
            ),
        ]
        for k in KS
    ]


def sigma_panels(source: NamedMixture, n: int, seed: int) -> list[list[Panel]]:
    """A row for each k: p, p̄_k, and PSR with several σ."""
    sigmas = [multiple * source.sigma for multiple in SIGMA_MULTIPLES]
    return [
        [
            *_references(source, k, n, seed),
            *(
                Panel(f"PSR, σ = {sigma:.3g}", Cell(source, "ddim", k, Steering(k=k, sigma=sigma), STEPS, n, seed))
                for sigma in sigmas
            ),
        ]
        for k in KS
    ]


def _references(source: NamedMixture, k: float, n: int, seed: int) -> list[Panel]:
    return [
        Panel("p", Cell(source, "exact", 1.0, None, 0, n, seed)),
        Panel("p̄_k", Cell(source, "exact", k, None, 0, n, seed)),
    ]


def write_samples_figure(rows: Sequence[Sequence[Panel]], path: Path, workers: int) -> None:
    """Draw the panels' cells, dots coloured by mode, the modes' weights in each panel, and write them as PNG.

    All panels share their axes, which hold the widest target. A panel says how much lies outside or is not finite.
    """
    cells = [panel.cell for row in rows for panel in row]
    samples = iter(list(in_threads(draw, cells, workers)))
    low, high = _window(rows)
    figure = Figure(figsize=(2.15 * len(rows[0]) + 0.35, 2.15 * len(rows) + 0.75), layout="constrained")
    grid: Any = figure.subplots(len(rows), len(rows[0]), sharex=True, sharey=True, squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row, row, strict=True):
            _scatter(axes, panel.cell, next(samples), low, high)
        axes_row[0].set_ylabel(f"k = {row[-1].cell.target_k:g}", fontsize=11)
    for axes, panel in zip(grid[0], rows[0], strict=True):
        axes.set_title(_mathematics(panel.heading), fontsize=10)
    source = rows[0][0].cell.source
    figure.suptitle(
        f"{source.name}: weights {', '.join(f'{w:.3g}' for w in source.mixture.weights.tolist())}; "
        f"n = {rows[0][0].cell.n} a panel",
        fontsize=10,
    )
    write_png(figure, path)


def _window(rows: Sequence[Sequence[Panel]]) -> tuple[Tensor, Tensor]:
    """Corners (2,) of a square around nearly all samples of the flattest target."""
    source = rows[0][0].cell.source
    widest = source.mixture.sharpened(min(row[-1].cell.target_k for row in rows))
    x = widest.sample(20_000, torch.Generator().manual_seed(0))
    edges = torch.quantile(x, torch.tensor([0.001, 0.999], dtype=x.dtype), dim=0)
    half = float((edges[1] - edges[0]).max()) / 2 * 1.08
    return edges.mean(0) - half, edges.mean(0) + half


def _scatter(axes: Any, cell: Cell, x: Tensor, low: Tensor, high: Tensor) -> None:
    target = cell.source.mixture.sharpened(cell.target_k)
    finite, mode = assign(x, target)
    weights = torch.bincount(mode, minlength=len(target.weights)) / len(x)
    colours = np.array([COLOURS[i % len(COLOURS)] for i in range(len(weights))])
    axes.scatter(*finite[:SHOWN].T.numpy(), s=1.6, c=colours[mode[:SHOWN].numpy()], linewidths=0, alpha=0.7)
    inside = ((finite >= low) & (finite <= high)).all(dim=1).sum()
    if (missing := 1 - float(inside) / len(x)) > 0.02:
        label = dict(fontsize=8, ha="center", bbox=dict(facecolor="white", edgecolor="none", alpha=0.8, pad=1))
        axes.text(0.5, 0.02, f"{missing:.0%} outside", transform=axes.transAxes, **label)
    for i, weight in enumerate(weights.tolist()):
        place = (i + 0.5) / len(weights)
        axes.text(
            place, 0.97, f"{weight:.3f}", transform=axes.transAxes, ha="center", va="top", fontsize=8, color=colours[i]
        )
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1] + 0.13 * (high[1] - low[1])), aspect="equal")
    axes.set(xticks=[], yticks=[])


def _mathematics(heading: str) -> str:
    return {"p": r"$p(\mathbf{x}_0)$", "p̄_k": r"$\bar{p}_k(\mathbf{x}_0)$"}.get(heading, heading)


def write_factor_figure(path: Path) -> None:
    """r_t over t on cosine levels (t = 0 clean, 1 noise): left σ = 1 and k varies, right k = 2 and σ varies."""
    t = np.linspace(0, 1, 401)
    alpha, sigma_t = np.cos(t * np.pi / 2), np.sin(t * np.pi / 2)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k in (0.25, 0.5, 1.0, 2.0, 4.0, 10.0):
        left.plot(t, rescale_factor(alpha, sigma_t, k, 1.0), label=f"k = {k:g}")
    for sigma in (0.05, 0.2, 0.5, 1.0, 2.0, 5.0):
        right.plot(t, rescale_factor(alpha, sigma_t, 2.0, sigma), label=f"σ = {sigma:g}")
    left.set(title="σ = 1, k varies", ylabel="rescaling factor $r_t$", yscale="log")
    left.set_yticks([0.25, 0.5, 1, 2, 4, 10], ["0.25", "0.5", "1", "2", "4", "10"])
    left.minorticks_off()
    right.set(title="k = 2, σ varies", ylabel="rescaling factor $r_t$")
    for axes in (left, right):
        axes.set(xlabel="t (0 clean, 1 pure noise; cosine levels)", xlim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    write_png(figure, path)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure in one go; its folder is made."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())

"""Picture of what PSR adds to a policy's score over (k, σ)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from psr_eval.policy_comparison import Comparison, Result

Panel = dict[tuple[float, float], Result]  # by (k, σ)


def heatmap(comparison: Comparison, title: str) -> bytes | None:
    """PNG: difference of the score to the same sampler unsteered, in points; a panel for each sampler and integrator.

    Colours are centred at 0 and shared; a cell with no row is grey. None unless some panel has two cells.
    """
    panels = {name: cells for name, cells in _panels(comparison).items() if len(cells) > 1}
    if not panels:
        return None
    shapes = [(len({s for _, s in cells}), len({k for k, _ in cells})) for cells in panels.values()]
    gaps = [100 * _mean(result) for cells in panels.values() for result in cells.values()]
    limit = max(1.0, *map(abs, gaps))
    width, height = sum(1.1 * columns + 1.2 for _, columns in shapes), 0.75 * max(rows for rows, _ in shapes) + 2
    figure = Figure(figsize=(max(6.5, width), height), layout="constrained")
    widths = [columns for _, columns in shapes]
    grid: Any = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, (name, cells) in zip(grid, panels.items(), strict=True):
        image = _draw(axes, cells, limit)
        axes.set_title(name, fontsize=10)
    figure.colorbar(image, ax=list(grid), label="difference, points")
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def points(difference: float) -> str:
    """A difference of scores in [0, 1] as text, such as "+4.0"."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"  # + 0.0: no negative zero


def _panels(comparison: Comparison) -> dict[str, Panel]:
    panels: dict[str, Panel] = {}
    for result in comparison.results:
        steering = result.row.steering
        if result.difference is not None and steering.method == "psr":
            extras = [steering.integrator] * (steering.integrator != "plain") + ["cap"] * steering.cap
            name = ", ".join([f"{result.row.sampler.upper()} + PSR", *extras])
            panels.setdefault(name, {})[steering.k, steering.sigma] = result
    return panels


def _draw(axes: Any, cells: Panel, limit: float) -> Any:
    ks, sigmas = sorted({k for k, _ in cells}), sorted({sigma for _, sigma in cells})
    values = np.full((len(sigmas), len(ks)), np.nan)
    for (k, sigma), result in cells.items():
        place = sigmas.index(sigma), ks.index(k)
        values[place] = 100 * _mean(result)
        _annotate(axes, place, result, dark=abs(values[place]) > 0.7 * limit)
    axes.set_facecolor("0.85")
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, origin="lower", aspect="auto")
    axes.set_xticks(range(len(ks)), [f"{k:g}" for k in ks])
    axes.set_yticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])
    axes.set_xlabel("k")
    axes.set_ylabel("σ")
    return image


def _annotate(axes: Any, place: tuple[int, int], result: Result, dark: bool) -> None:
    found = result.difference
    assert found is not None
    colour = "white" if dark else "black"
    interval = f"{points(found.low)} to {points(found.high)}"
    style = {"ha": "center", "color": colour}
    axes.text(place[1], place[0] + 0.04, points(found.mean), va="bottom", fontsize=11, **style)
    axes.text(place[1], place[0] - 0.04, interval, va="top", fontsize=7, **style)


def _mean(result: Result) -> float:
    return result.difference.mean if result.difference else 0.0

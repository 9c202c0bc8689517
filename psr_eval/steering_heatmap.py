"""Picture of what PSR brings over (k, σ)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from psr_eval.paired import Difference

Panel = dict[tuple[float, float], Difference]  # by (k, σ)


def heatmap(
    differences: Mapping[Any, Difference], title: str, label: str = "difference, points", digits: int = 1
) -> bytes | None:
    """PNG: differences of PSR's rows in points, a panel for each sampler and integrator.

    differences: by row, which has a sampler and a steering; methods but PSR are left out. label: of the colours, which
    are centred at 0 and shared. digits: of a point, that are shown. A cell with no row is grey. None unless some panel
    has two cells.
    """
    panels = {name: cells for name, cells in _panels(differences).items() if len(cells) > 1}
    if not panels:
        return None
    shapes = [(len({s for _, s in cells}), len({k for k, _ in cells})) for cells in panels.values()]
    gaps = [100 * found.mean for cells in panels.values() for found in cells.values()]
    limit = max(10 ** (1 - digits), *map(abs, gaps))
    width, height = sum(1.1 * columns + 1.2 for _, columns in shapes), 0.75 * max(rows for rows, _ in shapes) + 2
    figure = Figure(figsize=(max(6.5, width), height), layout="constrained")
    widths = [columns for _, columns in shapes]
    grid: Any = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, (name, cells) in zip(grid, panels.items(), strict=True):
        image = _draw(axes, cells, limit, digits)
        axes.set_title(name, fontsize=10)
    figure.colorbar(image, ax=list(grid), label=label)
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def points(difference: float, digits: int = 1) -> str:
    """A difference of scores in [0, 1] as text, such as "+4.0"."""
    return f"{round(100 * difference, digits) + 0.0:+.{digits}f}"  # + 0.0: no negative zero


def _panels(differences: Mapping[Any, Difference]) -> dict[str, Panel]:
    panels: dict[str, Panel] = {}
    for row, found in differences.items():
        steering = row.steering
        if steering.method == "psr":
            extras = [steering.integrator] * (steering.integrator != "plain") + ["cap"] * steering.cap
            name = ", ".join([f"{row.sampler.upper()} + PSR", *extras])
            panels.setdefault(name, {})[steering.k, steering.sigma] = found
    return panels


def _draw(axes: Any, cells: Panel, limit: float, digits: int) -> Any:
    ks, sigmas = sorted({k for k, _ in cells}), sorted({sigma for _, sigma in cells})
    values = np.full((len(sigmas), len(ks)), np.nan)
    for (k, sigma), found in cells.items():
        place = sigmas.index(sigma), ks.index(k)
        values[place] = 100 * found.mean
        _annotate(axes, place, found, digits, colour="white" if abs(values[place]) > 0.7 * limit else "black")
    axes.set_facecolor("0.85")
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, origin="lower", aspect="auto")
    axes.set_xticks(range(len(ks)), [f"{k:g}" for k in ks])
    axes.set_yticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])
    axes.set_xlabel("k")
    axes.set_ylabel("σ")
    return image


def _annotate(axes: Any, place: tuple[int, int], found: Difference, digits: int, colour: str) -> None:
    interval = f"{points(found.low, digits)} to {points(found.high, digits)}"
    style = {"ha": "center", "color": colour}
    axes.text(place[1], place[0] + 0.04, points(found.mean, digits), va="bottom", fontsize=11, **style)
    axes.text(place[1], place[0] - 0.04, interval, va="top", fontsize=7, **style)

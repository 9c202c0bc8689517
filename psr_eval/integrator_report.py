"""What `psr reproduce integrators` found, as JSON, Markdown and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from psr_core.files import write_whole
from psr_core.steering import Steering
from psr_eval.integrators import REFERENCES

COLOURS = {"plain": "#1f6fd6", "plain, capped": "#0b2345", "gaussian": "#ff9f1c", "gaussian2": "#d62728"}
DISTANCES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
INTRODUCTION = """# Integrators on a learned policy

{checkpoint_id}, {observations} observations x {noises} starting noises, DDIM.

## Distance to the steered flow

Root mean square over a chunk, in normalised units, between a few-step sample and a reference from the same noise and
observation: mean ± standard deviation over {rows} rows. References are plain steered DDIM:

* fine: {refinement} steps for each training timestep, fractional ones in between;
* whole: one step for each training timestep, so no fractions;
* same start: as whole, but from the level where the sampler with so few calls begins, so that only integration counts;
* before end: as same start, both compared at timestep 0, before their last step. The flow ends there for a policy: what
  the last step makes of the noise that is left is a choice, and a plain one leaves less of it than a Gaussian one.

Smaller is closer. Closer to the flow is not necessarily better for the robot.
"""


def as_markdown(report: Mapping[str, Any]) -> str:
    """The whole report as text."""
    settings = report["settings"]
    parts = [INTRODUCTION.format(**settings, rows=settings["observations"] * settings["noises"])]
    parts += ["\n".join(_references(report["groups"])), "\n".join(_distances(report["groups"]))]
    if report["success"]:
        parts.append(
            "## Success\n\nThe same initial states for every row; [Wilson 95 %]; p: McNemar's exact test against plain "
            "with equal k and calls.\n\n" + "\n".join(_success(report["success"]))
        )
    return "\n\n".join(parts) + "\n"


def write_report(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write integrators.json, integrators.md and, with distances, two pictures into a folder; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    paths = [folder / "integrators.json", folder / "integrators.md"]
    for path, text in zip(paths, (content, as_markdown(report)), strict=True):
        write_whole(path, text.encode())
    if report["groups"]:
        for name in ("whole", "before_end"):
            paths.append(folder / f"integrators_{name}.png")
            write_whole(paths[-1], distance_figure(report["groups"], name))
    return paths


def distance_figure(groups: Sequence[Mapping[str, Any]], name: str) -> bytes:
    """Distance to one of the references against calls, a panel for each (k, σ); PNG."""
    cells = [(Steering.from_dict(cell["steering"]), cell) for group in groups for cell in group["cells"]]
    ks, sigmas = sorted({s.k for s, _ in cells}), sorted({s.sigma for s, _ in cells if s.integrator != "plain"})
    figure = Figure(figsize=(max(5.5, 2.9 * len(sigmas) + 0.6), 2.1 * len(ks) + 1.0), layout="constrained")
    grid: Any = figure.subplots(len(ks), len(sigmas), sharex=True, sharey=True, squeeze=False)
    for axes_row, k in zip(grid, ks, strict=True):
        for axes, sigma in zip(axes_row, sigmas, strict=True):
            own = [(s, cell) for s, cell in cells if s.k == k and (s.sigma == sigma or s.is_identity)]
            _panel(axes, own, name)
            axes.set_title(f"k = {k:g}, σ = {sigma:g}", fontsize=10)
        axes_row[0].set_ylabel("distance")
    for axes in grid[-1]:
        axes.set_xlabel("network calls")
    ticks = sorted({cell["calls"] for _, cell in cells})
    grid[0][0].set(xscale="log", yscale="log")
    grid[0][0].set_xticks(ticks, [str(tick) for tick in ticks])
    grid[0][0].set_yticks(DISTANCES, [f"{distance:g}" for distance in DISTANCES])
    grid[0][0].minorticks_off()
    handles, labels = grid[-1][0].get_legend_handles_labels()  # the largest k, which has all of them
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    title = f"Distance of a chunk to the reference “{name.replace('_', ' ')}”, normalised; mean and standard error"
    figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _panel(axes: Any, cells: Sequence[tuple[Steering, Mapping[str, Any]]], name: str) -> None:
    for label, colour in COLOURS.items():
        own = sorted((cell["calls"], cell[name]) for s, cell in cells if integrator_name(s) == label)
        if own:
            calls, distances = zip(*own, strict=True)
            errors = [d["std"] / d["n"] ** 0.5 for d in distances]
            means = [d["mean"] for d in distances]
            line = dict(linestyle="--", markersize=2) if "capped" in label else dict(linewidth=2, markersize=4)
            axes.errorbar(calls, means, errors, color=colour, label=label, marker="o", capsize=2, **line)
    axes.grid(alpha=0.3)


def integrator_name(steering: Steering) -> str:
    """Name for tables and pictures."""
    return f"{steering.integrator}, capped" if steering.cap else steering.integrator


def _references(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "### The references themselves\n"
    yield "Effect: what steering changes. Noise: what another starting noise changes.\n"
    yield "| steering | fine to whole | effect | noise |"
    yield "|---|---|---|---|"
    for group in groups:
        values = [_text(group[name]) for name in ("fine_to_whole", "effect", "noise")]
        yield f"| {Steering.from_dict(group['reference']).label()} | {' | '.join(values)} |"


def _distances(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "### Few calls\n"
    yield f"| k | σ | integrator | calls | {' | '.join(name.replace('_', ' ') for name in REFERENCES)} |"
    yield "|" + "---|" * (4 + len(REFERENCES))
    for group in groups:
        for cell in group["cells"]:
            s = Steering.from_dict(cell["steering"])
            sigma = "any" if s.is_identity else f"{s.sigma:g}"
            values = [_text(cell[name]) for name in REFERENCES]
            yield f"| {s.k:g} | {sigma} | {integrator_name(s)} | {cell['calls']} | {' | '.join(values)} |"


def _success(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| k | σ | calls | integrator | successes | rate | only plain | only this | p |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        s = Steering.from_dict(row["steering"])
        low, high = row["wilson95"]
        rate = f"{row['successes'] / row['n']:.1%} [{low:.1%}, {high:.1%}]"
        test = [] if s.integrator == "plain" else [row["only_plain"], row["only_this"], f"{row['p']:.3g}"]
        counts = f"{row['successes']}/{row['n']}"
        cells = [f"{s.k:g}", f"{s.sigma:g}", row["calls"], integrator_name(s), counts, rate, *(test or [""] * 3)]
        yield f"| {' | '.join(map(str, cells))} |"


def _text(summary: Mapping[str, float] | None) -> str:
    return f"{summary['mean']:.4f} ± {summary['std']:.4f}" if summary else "–"

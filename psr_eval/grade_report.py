"""What `psr reproduce grades` found, as JSON, Markdown and one figure."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from psr_core.files import write_whole
from psr_eval.grade_comparison import STRONG, WEAK, Grade, TaskGrades
from psr_eval.policy_comparison import Difference
from psr_eval.policy_heatmap import points

COLOURS = {STRONG: "#0072b2", WEAK: "#d55e00"}  # told apart by colour-blind eyes, too
MARKERS = {STRONG: "o", WEAK: "s"}


def write_report(tasks: Sequence[TaskGrades], folder: Path) -> list[Path]:
    """Write grades.json, grades.md and grades.png; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([as_dict(task) for task in tasks], indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "grades.json": f"{content}\n".encode(),
        "grades.md": as_markdown(tasks).encode(),
        "grades.png": figure(tasks),
    }
    for name, data in files.items():
        write_whole(folder / name, data)
    return [folder / name for name in files]


def as_dict(task: TaskGrades) -> dict[str, Any]:
    """One task as plain values; scores and differences as they are, not in percent."""
    grades = [
        {
            "grade": grade.table.grade,
            "score": grade.table.score,
            "unsteered": float(grade.table.unsteered.mean()),
            "played": grade.table.played,
            "changes": [{"k": k, "sigma": sigma, **asdict(found)} for (k, sigma), found in grade.changes.items()],
            "flat": asdict(grade.flat),
            "sharp": asdict(grade.sharp),
        }
        for grade in task.grades
    ]
    interaction = asdict(task.interaction) if task.interaction else None
    return {"task": task.task, "conclusion": task.conclusion, "interaction": interaction, "grades": grades}


def as_markdown(tasks: Sequence[TaskGrades]) -> str:
    """The whole report as text."""
    parts = [
        "# Which way to turn the dial, by the grade of the demonstrations",
        "\n".join(f"* {task.conclusion}" for task in tasks),
        "Points of the score, 95 % bootstrap intervals over initial states, p of an exact sign-flip test, none "
        "corrected for the number of tests. k < 1 and k > 1: mean over all PSR settings of that side, against the same "
        f"policy unsteered. Interaction: (k > 1 less k < 1) on {STRONG}, less the same on {WEAK}, over the same "
        "initial states; positive is what the thesis observes.",
        "\n".join(_rows(tasks)),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(tasks: Sequence[TaskGrades]) -> Iterator[str]:
    yield "| task | grade | unsteered | k < 1 | k > 1 | interaction |"
    yield "|---|---|---|---|---|---|"
    for task in tasks:
        for grade in task.grades:
            cells = [task.task, grade.table.grade, f"{100 * grade.table.unsteered.mean():.1f}"]
            cells += [_change(grade.flat), _change(grade.sharp), "" if grade is not task.grades[-1] else "–"]
            if grade is task.grades[-1] and task.interaction:
                cells[-1] = _change(task.interaction)
            yield f"| {' | '.join(cells)} |"


def _change(found: Difference) -> str:
    p = "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    return f"{points(found.mean)} [{points(found.low)} to {points(found.high)}], p {p}"


def figure(tasks: Sequence[TaskGrades]) -> bytes:
    """PNG: change of the score over k with its interval, a line for each grade; tasks beside, σ above each other."""
    sigmas = sorted({sigma for task in tasks for grade in task.grades for _, sigma in grade.changes})
    size = (max(5.0, 3.4 * len(tasks) + 0.6), 2.3 * len(sigmas) + 0.9)
    picture = Figure(figsize=size, layout="constrained")
    grid: Any = picture.subplots(len(sigmas), len(tasks), squeeze=False, sharex=True, sharey="col")
    for column, task in enumerate(tasks):
        for row, sigma in enumerate(sigmas):
            axes = grid[row][column]
            for number, grade in enumerate(task.grades):
                _draw(axes, grade, sigma, shift=1 + 0.03 * (number - (len(task.grades) - 1) / 2))
            axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            axes.axvline(1, color="0.85", linewidth=0.8, zorder=0)
            if row == 0:
                axes.set_title(task.task, fontsize=11)
                axes.legend(fontsize=7, title="grade (unsteered)", title_fontsize=7)
            if column == 0:
                axes.set_ylabel(f"σ = {sigma:g}\nchange, points")
    for axes in grid[-1]:
        axes.set_xlabel("k")
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _draw(axes: Any, grade: Grade, sigma: float, shift: float) -> None:
    found = {k: change for (k, other), change in grade.changes.items() if other == sigma}
    found[1.0] = Difference(0.0, 0.0, 0.0, 1.0, 0, 0)  # the unsteered policy itself
    ks = sorted(found)
    means = [100 * found[k].mean for k in ks]
    below = [100 * (found[k].mean - found[k].low) for k in ks]
    above = [100 * (found[k].high - found[k].mean) for k in ks]
    name = grade.table.grade
    style = {"color": COLOURS.get(name, "0.3"), "marker": MARKERS.get(name, "^"), "markersize": 4, "linewidth": 1.2}
    label = f"{name} ({100 * grade.table.unsteered.mean():.1f} %)"
    axes.errorbar([k * shift for k in ks], means, (below, above), capsize=2, label=label, **style)
    axes.set_xscale("log")
    axes.set_xticks(ks, [f"{k:g}" for k in ks])
    axes.minorticks_off()

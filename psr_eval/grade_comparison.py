"""Whether a policy's grade decides which way to turn the dial: tables of `psr reproduce policy` beside each other.

The thesis "Score rescaling and diverse score distillation" (section 1.4.4) observes that flat sampling (k < 1) helps
policies of low proficiency and sharp sampling (k > 1) those of high proficiency. Here the grade is that of the
demonstrations, and both grades have played the same initial states, so the difference between them is paired, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_eval.policy_comparison import Difference, difference

STRONG, WEAK = "proficient", "mixed"
# What must be equal for two grades of a task to be compared: the states and how they were played.
SAME = ("episodes", "first_seed", "noise_seed", "max_steps", "batch", "num_inference_steps")

Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """What one grade's policy of a task scored. Scores (states,) in the order of the seeds; steered: by (k, σ)."""

    folder: Path
    task: str
    grade: str
    score: str
    played: dict[str, Any]
    unsteered: Array
    steered: dict[tuple[float, float], Array]

    def mean_change(self, sharp: bool) -> Array:
        """By how much the settings of one direction, k > 1 or k < 1, change the score on average, (states,)."""
        chosen = [scores for (k, _), scores in self.steered.items() if (k > 1) == sharp]
        change: Array = np.mean(chosen, axis=0) - self.unsteered
        return change


@dataclass(frozen=True)
class Grade:
    """One policy against itself unsteered: every (k, σ), and the mean over all k < 1 (flat) and k > 1 (sharp)."""

    table: Table
    changes: dict[tuple[float, float], Difference]
    flat: Difference
    sharp: Difference


@dataclass(frozen=True)
class TaskGrades:
    """A task's grades, and with both the interaction: sharp minus flat on the strong policy, less that on the weak.

    A positive interaction is what the thesis observes. None where a grade is missing.
    """

    task: str
    grades: tuple[Grade, ...]
    interaction: Difference | None

    @property
    def conclusion(self) -> str:
        """One sentence that claims no more than interval and test show."""
        found = self.interaction
        if found is None:
            return f"{self.task}: only {self.grades[0].table.grade} was played, so there is nothing to compare."
        which = f"sharp rather than flat sampling serves the {STRONG} policy"
        words = {
            "gain": f"{which} more than the {WEAK} one, as the thesis says",
            "loss": f"{which} less than the {WEAK} one, against the thesis",
            "none": "no dependence on the grade is shown",
        }
        return f"{self.task}: {words[found.verdict]}."


def read_table(folder: Path) -> Table:
    """What `psr reproduce policy` left in a folder: PSR with the plain integrator on the sampler of the first row.

    Raises FileNotFoundError, or ValueError naming the folder and what it lacks.
    """
    path = folder / "table.json"
    if not path.is_file():
        raise FileNotFoundError(f"no table.json in {folder}; make it with psr reproduce policy --out {folder}")
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        settings, rows = content["settings"], content["rows"]
        (grade,) = settings["grades"]
        scores = [(entry["row"], np.asarray(entry["by_state"], float)) for entry in rows]
        played = {name: settings[name] for name in SAME}
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} lacks {error}, or has several grades; run psr reproduce policy again (it keeps the episodes) "
            "with checkpoints of one grade"
        ) from None
    first, unsteered = scores[0]
    plain = {"method": "psr", "integrator": "plain", "cap": False}
    steered = {
        (row["steering"]["k"], row["steering"]["sigma"]): found
        for row, found in scores
        if row["sampler"] == first["sampler"] and plain.items() <= row["steering"].items()
    }
    for sign, sharp in (("k < 1", False), ("k > 1", True)):
        if not any((k > 1) == sharp for k, _ in steered):
            raise ValueError(f"{path} has no row of PSR with {sign}; add one to its --settings")
    return Table(folder, settings["task"], grade, content["score"], played, unsteered, steered)


def compare_grades(tables: Sequence[Table]) -> list[TaskGrades]:
    """Every task's grades side by side, tasks in their order, the strong grade first.

    Raises ValueError naming two tables that cannot be compared, as they are of the same grade, of other states, played
    otherwise, or have other (k, σ).
    """
    by_task: dict[str, list[Table]] = {}
    for table in tables:
        by_task.setdefault(table.task, []).append(table)
    return [_task(task, sorted(found, key=_order)) for task, found in by_task.items()]


def _order(table: Table) -> tuple[bool, bool]:
    return table.grade != STRONG, table.grade != WEAK


def _task(task: str, tables: Sequence[Table]) -> TaskGrades:
    for other in tables[1:]:
        _check_pair(tables[0], other)
    grades = {table.grade: _grade(table) for table in tables}
    if len(grades) < len(tables):
        raise ValueError(
            f"{', '.join(str(table.folder) for table in tables)}: two are of the same grade; leave one out"
        )
    interaction = None
    if STRONG in grades and WEAK in grades:
        leanings = [
            grades[name].table.mean_change(True) - grades[name].table.mean_change(False) for name in (WEAK, STRONG)
        ]
        interaction = difference(*(leaning[None] for leaning in leanings))
    return TaskGrades(task, tuple(grades.values()), interaction)


def _grade(table: Table) -> Grade:
    def change(scores: Array) -> Difference:
        return difference(table.unsteered[None], scores[None])

    changes = {setting: change(scores) for setting, scores in table.steered.items()}
    flat, sharp = (change(table.unsteered + table.mean_change(direction)) for direction in (False, True))
    return Grade(table, changes, flat, sharp)


def _check_pair(first: Table, other: Table) -> None:
    for name in SAME:
        if first.played[name] != other.played[name]:
            raise ValueError(
                f"{first.folder} was played with {name} = {first.played[name]}, {other.folder} with "
                f"{other.played[name]}; play one of them again"
            )
    if first.steered.keys() != other.steered.keys():
        differing = sorted(first.steered.keys() ^ other.steered.keys())
        raise ValueError(
            f"only one of {first.folder} and {other.folder} has (k, σ) = {differing}; use the same --settings"
        )

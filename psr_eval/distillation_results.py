"""The results of the distillation toys by density, prior and row, and the questions that they answer.

All differences are paired, on the same seeds and the same samples of the truth, and a verdict needs a 95 % interval
that excludes 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from psr_eval.distillation_rows import CENTRED, DIALS, ROWS, STEERED, Row
from psr_eval.distillation_toy import Cell, Efficiency, Job, Known, Landscape, scores_of
from psr_eval.gradient_fields import Minima, integrated, minima
from psr_eval.paired import Estimate, verdict
from psr_eval.point_metrics import METRICS, Scores

HIGHER_IS_BETTER = ("inside", "precision", "recall", "coverage")
CONTENDERS = ("SDI", "DSD", "DSD, grid 50", "MSD", "MSD, plain descent", "MSD, one call", "MSD, paper's sampler")
DIVERSE = ("DSD", "DSD, grid 50")  # claimed to be the most diverse at equal fidelity
CLAIMED_CALLS = {"SDS": 1.0, "DSD": 2.0, "DSD, as published": 8.0, "SDI": 8.6}


@dataclass(frozen=True)
class Entry:
    """One row: what was computed, its figures, and the log-efficiency where that was measured (None: no chance)."""

    row: Row
    result: Mapping[str, Any]
    scores: Scores
    efficiency: Estimate | None = None
    has_efficiency: bool = False

    @property
    def calls_each(self) -> float:
        """Counted calls a particle and iteration."""
        return float(self.result["calls"]) / max(1, int(self.result["iterations"]))


@dataclass(frozen=True)
class Ground:
    """A landscape: the loss (n, n) that a row descends after a share of its run, and where its minima are."""

    row: Row
    share: float
    loss: Any
    minima: Minima


@dataclass(frozen=True)
class Case:
    """Everything on one density with one prior; rows in their order, by name."""

    known: Known
    entries: Mapping[str, Entry]
    grounds: tuple[Ground, ...]

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.known.data}, {self.known.prior_kind}"

    def difference(self, one: str, other: str, metric: str) -> Estimate | None:
        """A row's figure less another's; None where one of them was not run."""
        if one not in self.entries or other not in self.entries:
            return None
        return self.entries[one].scores.minus(self.entries[other].scores, metric)


def cases(jobs: Sequence[Job], results: Sequence[Mapping[str, Any]]) -> list[Case]:
    """The results of jobs, sorted by density and prior."""
    found: dict[int, tuple[Known, dict[str, Entry], list[Ground]]] = {}
    for job, result in zip(jobs, results, strict=True):
        _, entries, grounds = found.setdefault(id(job.known), (job.known, {}, []))
        if isinstance(job, Cell):
            entries[job.row.name] = Entry(job.row, result, scores_of(result))
        elif isinstance(job, Efficiency):
            measured = result["log_efficiency"]
            entry, efficiency = entries[job.row.name], None if measured is None else Estimate(*measured)
            entries[job.row.name] = Entry(entry.row, entry.result, entry.scores, efficiency, True)
        elif isinstance(job, Landscape):
            loss = integrated(np.array(result["field"]))
            grounds.append(Ground(job.row, job.share, loss, minima(loss, job.known.truth)))
    return [Case(known, entries, tuple(grounds)) for known, entries, grounds in found.values()]


@dataclass(frozen=True)
class Diversity:
    """Whether a row is more diverse than all others of a kind. rival: the most diverse of them, by name, "" where there
    is none; lead: by how much more diverse the row is."""

    verdict: str
    rival: str
    lead: Estimate | None


def lead_over(leads: Mapping[str, Estimate]) -> Diversity:
    """What follows from a row's paired leads over its rivals, by their names."""
    if not leads:
        return Diversity("yes", "", None)
    rival = min(leads, key=lambda other: leads[other].mean)
    found = {verdict(lead) for lead in leads.values()}
    return Diversity(next(word for word in ("no", "open", "yes") if word in found), rival, leads[rival])


def diversity(case: Case, name: str) -> Diversity | None:
    """Whether a row covers more of the truth than those methods whose NLL is not higher for sure; all variants of its
    own method are left out."""
    if name not in case.entries:
        return None
    own = case.entries[name].row.method
    others = [row.name for row in ROWS if row.is_distillation and row.method != own and row.name in case.entries]
    rivals = [other for other in others if verdict(case.difference(other, name, "nll")) != "yes"]
    own_scores = case.entries[name].scores
    return lead_over({other: own_scores.minus(case.entries[other].scores, "coverage") for other in rivals})


def more_efficient(case: Case, one: str, other: str) -> str:
    """Whether a row's log-efficiency is above another's: a verdict where both were measured and have chance in them."""
    found = [case.entries[name].efficiency if name in case.entries else None for name in (one, other)]
    if found[0] is None or found[1] is None:
        return ""
    return "yes" if found[0].low > found[1].high else "no" if found[0].high < found[1].low else "open"


def distance_to_ddim(case: Case, name: str, reference: str) -> float | None:
    """Median distance of a row's particles to DDIM's samples from the same noises; None where one is missing."""
    if name not in case.entries or reference not in case.entries:
        return None
    points = [np.array(case.entries[one].result["points"]) for one in (name, reference)]
    return float(np.median(np.linalg.norm(points[0] - points[1], axis=1)))


def from_the_centre(case: Case, metric: str) -> dict[str, Estimate]:
    """By row: its figure from the usual start less that from the centre."""
    pairs = {row.name: row.name.removesuffix(", from the centre") for row in CENTRED}
    found = {usual: case.difference(usual, centred, metric) for centred, usual in pairs.items()}
    return {name: each for name, each in found.items() if each is not None}


def steered(case: Case) -> dict[str, dict[str, Estimate]]:
    """By the label of the dial and metric: what steering changes about DSD."""
    found = {}
    for dial, row in zip(DIALS, STEERED, strict=True):
        if row.name in case.entries and "DSD" in case.entries:
            changes = (case.difference(row.name, "DSD", metric) for metric in METRICS)
            label = f"k = {dial.k:g}, σ = {dial.sigma:g}"
            found[label] = {name: one for name, one in zip(METRICS, changes, strict=True) if one is not None}
    return found

"""Score distillation on known densities: every method at the same number of calls, judged by the truth.

A job is one thing to compute: a cell (a row on a density with a prior), the efficiency of a row's gradient, or a loss
landscape. What a job gives follows from its settings alone, whatever ran before or beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.prior import Prior
from psr_core.mixtures import GaussianMixture
from psr_eval.distillation_priors import ROW_NOISE, TRUTH_NOISE, generator
from psr_eval.distillation_rows import DDIM, HALF_BOX, TRUTH, Row, distil, iterations, sample_ddim
from psr_eval.gradient_fields import CELLS, PLACES, REPEATS, followed, gradients, lattice, log_efficiency
from psr_eval.kept import KeptResults, code_digest
from psr_eval.point_metrics import Scores, Truth, score, truth_of
from psr_eval.toy import in_threads


@dataclass(frozen=True, eq=False)
class Known:
    """A density under one prior, as all jobs on it see it. training: what a learned prior came from."""

    data: str
    prior_kind: str
    mixture: GaussianMixture
    prior: Prior
    truth: Truth
    training: Mapping[str, Any]


def known(
    data: str, kind: str, mixture: GaussianMixture, prior: Prior, n: int, seed: int, training: Mapping[str, Any]
) -> Known:
    """With the truth that n points are judged by, which no seed of a prior's samples shares."""
    return Known(data, kind, mixture, prior, truth_of(mixture, n, generator(seed, TRUTH_NOISE)), training)


@dataclass(frozen=True, eq=False)
class Job:
    """particles, calls: of a run, calls for each particle. Raises ValueError below one call or FEWEST particles."""

    what: ClassVar[str] = ""

    known: Known
    row: Row
    particles: int
    calls: int
    seed: int

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        return {
            "what": self.what,
            "data": self.known.data,
            "prior": self.known.prior_kind,
            "training": dict(self.known.training),
            "row": self.row.settings(),
            "particles": self.particles,
            "calls": self.calls,
            "seed": self.seed,
            "code": _code(),
        }

    def guided(self) -> GuidedPrior:
        """The prior, steered, with its counters at 0."""
        return GuidedPrior(self.known.prior, self.row.steering)

    def run(self) -> dict[str, Any]:
        """The result, as plain values."""
        raise NotImplementedError


class Cell(Job):
    """The particles of a row with their figures; calls and iterations as they were counted, seconds of one core."""

    what = "cell"

    def run(self) -> dict[str, Any]:
        steps = 0 if self.row.method == TRUTH else iterations(self.row, self.calls)
        started, prior = time.thread_time(), self.guided()
        points = self._points(prior, steps)
        seconds = time.thread_time() - started
        scores = score(points, self.known.truth)
        return {
            "iterations": steps,
            "calls": prior.guided / self.particles,
            "seconds": round(seconds, 3),
            "points": np.round(points.double().numpy(), 5).tolist(),
            "values": scores.values.tolist(),
            "halves": np.round(scores.halves, 6).tolist(),
        }

    def _points(self, prior: GuidedPrior, steps: int) -> Tensor:
        if self.row.method == TRUTH:
            return self.known.mixture.sample(self.particles, generator(self.seed, ROW_NOISE))
        if self.row.method == DDIM:
            return sample_ddim(prior, self.particles, steps, self.seed)
        return distil(self.row, prior, self.particles, steps, self.seed)


class Efficiency(Job):
    """The log-efficiency of a row's gradient at half of its run, at places all over the square."""

    what = "efficiency"

    def run(self) -> dict[str, Any]:
        steps = iterations(self.row, self.calls)
        net = torch.quasirandom.SobolEngine(2, scramble=True, seed=self.seed).draw(PLACES)
        seeds = range(self.seed * REPEATS, (self.seed + 1) * REPEATS)
        drawn = gradients(self.row, self.guided(), HALF_BOX * (2 * net - 1), steps, 0.5, seeds)
        found = log_efficiency(drawn, self.calls / steps)
        return {"log_efficiency": None if found is None else [found.mean, found.low, found.high]}


@dataclass(frozen=True, eq=False)
class Landscape(Job):
    """The mean gradient of a row on the lattice, after a share of its run; of `repeats` draws, or with 0 that of one
    seed."""

    what: ClassVar[str] = "landscape"

    share: float
    repeats: int

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "share": self.share, "repeats": self.repeats}

    def run(self) -> dict[str, Any]:
        steps, x, prior = iterations(self.row, self.calls), lattice(), self.guided()
        if self.repeats:
            seeds = range(self.seed * self.repeats, (self.seed + 1) * self.repeats)
            field = gradients(self.row, prior, x, steps, self.share, seeds).mean(0)
        else:
            field = followed(self.row, prior, x, steps, self.share, self.seed)
        return {"field": np.round(field.double().view(CELLS, CELLS, 2).numpy(), 7).tolist()}


@cache
def _code() -> str:
    here = Path(__file__).parent
    core = here.parent / "psr_core"
    names = ("mixtures", "integrators", "predictions", "steering", "seeds", "training")
    own = ("distillation_priors", "distillation_rows", "distillation_toy", "gradient_fields", "point_metrics")
    paths = [*sorted((core / "distillation").glob("*.py")), *(core / f"{name}.py" for name in names)]
    return code_digest([*paths, *(here / f"{name}.py" for name in (*own, "equal_calls", "planar_densities"))])


def scores_of(result: Mapping[str, Any]) -> Scores:
    """The figures of a cell's result."""
    return Scores(np.array(result["values"]), np.array(result["halves"]))


def run_jobs(
    jobs: Sequence[Job], kept: KeptResults, workers: int, report: Callable[[int, int, str], None]
) -> list[dict[str, Any]]:
    """Results of the jobs, in their order. What is kept already is not run again; new ones are kept as they come.

    workers: threads, of one core each. report(done, total, name) follows each.
    """
    missing = [job for job in jobs if kept.get(job.settings()) is None]
    if missing:
        report(0, len(missing), "")
    found = in_threads(lambda job: job.run(), missing, workers)
    for number, (job, result) in enumerate(zip(missing, found, strict=True), 1):
        kept.add(job.settings(), result)
        report(number, len(missing), f"{job.known.data}, {job.row.name}")
    return [kept.get(job.settings()) for job in jobs]

"""The episodes of `psr reproduce policy`: every setting on every checkpoint from the same initial states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psr_core.model_folder import checkpoint_id
from psr_eval.outcome_log import OutcomeLog
from psr_eval.player import Outcome
from psr_eval.policy_rows import Row
from psr_eval.rollouts import RolloutPlan, Runner
from psr_policy.checkpoint import read_description


@dataclass(frozen=True)
class Job:
    """One setting on one checkpoint. checkpoint_id: "<folder>@<first 12 digits of the weights' sha256>"."""

    row: Row
    checkpoint_id: str
    plan: RolloutPlan


def jobs(rows: Sequence[Row], checkpoints: Sequence[Path], base: RolloutPlan) -> list[Job]:
    """Every row on every checkpoint, one checkpoint after the other; base: what all of them share.

    Raises ValueError naming the row that a checkpoint cannot follow, or a checkpoint that is given twice; and as
    load_policy where there is none.
    """
    found: dict[str, Path] = {}
    made = []
    for folder in checkpoints:
        name = checkpoint_id(folder, read_description(folder)["card"]["sha256"])
        if name in found:
            raise ValueError(f"checkpoints {found[name]} and {folder} hold the same weights, {name}; leave one out")
        found[name] = folder
        for row in rows:
            plan = replace(base, checkpoint=folder, steering=row.steering, sampler=row.sampler)
            try:
                plan.check()
            except ValueError as error:
                raise ValueError(f"{row.name} on {folder}: {error}") from None
            made.append(Job(row, name, plan))
    return made


def play(
    wanted: Sequence[Job],
    seeds: Sequence[int],
    folder: Path,
    workers: int,
    batch: int,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[Job, dict[int, Outcome]]:
    """Outcomes of every job by seed; those that folder/<checkpoint>/<row>.jsonl has are not played again.

    report: given the number of episodes done and to do now, first with none done, and the name of the job.
    Raises ValueError, before anything is played, when a file in the folder holds episodes of other settings.
    """
    logs = {job: _log(job, folder, batch) for job in wanted}
    missing = {job: [seed for seed in seeds if seed not in logs[job].outcomes] for job in wanted}
    done, total = 0, sum(map(len, missing.values()))
    with Runner(workers, batch) as runner:
        for job, lacking in missing.items():
            if not lacking:
                continue
            name = f"{job.checkpoint_id}, {job.row.name}"
            if not done:
                report(0, total, name)
            for outcome in runner.run(job.plan, lacking):
                logs[job].add(outcome)
                done += 1
                report(done, total, name)
    return {job: {seed: log.outcomes[seed] for seed in seeds} for job, log in logs.items()}


def by_row(outcomes: Mapping[Job, dict[int, Outcome]]) -> dict[Row, list[dict[int, Outcome]]]:
    """The same by row: outcomes by seed for each checkpoint."""
    rows: dict[Row, list[dict[int, Outcome]]] = {}
    for job, found in outcomes.items():
        rows.setdefault(job.row, []).append(found)
    return rows


def _log(job: Job, folder: Path, batch: int) -> OutcomeLog:
    # Where the checkpoint lies does not matter, but what it is.
    sha256 = read_description(job.plan.checkpoint)["card"]["sha256"]
    settings = {**job.plan.settings(), "checkpoint": job.checkpoint_id, "sha256": sha256, "batch": batch}
    return OutcomeLog(folder / job.checkpoint_id / f"{job.row.slug}.jsonl", settings)

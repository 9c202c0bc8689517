"""Success rates of a policy by integrator and number of network calls, over the same initial states."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psr_core.statistics import mcnemar_exact, wilson_interval
from psr_core.steering import Steering
from psr_eval.kept import KeptResults
from psr_eval.rollouts import RolloutPlan, progress_line, run_episodes

INTEGRATORS = ("plain", "gaussian", "gaussian2")


def success_plans(base: RolloutPlan, ks: Sequence[float], sigma: float, calls: Sequence[int]) -> list[RolloutPlan]:
    """A plan for every number of calls, k and integrator, those with the fewest calls first."""
    return [
        replace(base, steering=Steering(k=k, sigma=sigma, integrator=integrator), num_inference_steps=n)
        for n in calls
        for k in ks
        for integrator in INTEGRATORS
    ]


def run_success(
    plans: Sequence[RolloutPlan],
    seeds: range,
    kept: KeptResults,
    workers: int,
    batch: int,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Run the episodes that `kept` lacks; each joins it as it ends. report is given a line after each episode."""
    missing = {plan: [s for s in seeds if kept.get(episode_settings(plan, s)) is None] for plan in plans}
    total, done, successes, started = sum(map(len, missing.values())), 0, 0, time.monotonic()
    for plan, lacking in missing.items():
        label = f"{plan.num_inference_steps} calls, {plan.steering.label()}"
        for outcome in run_episodes(plan, lacking, workers, batch) if lacking else ():
            fields = {"success": outcome.success, "steps": outcome.steps, "reason": outcome.reason}
            kept.add(episode_settings(plan, outcome.seed), fields)
            done, successes = done + 1, successes + outcome.success
            report(f"{label}: {progress_line(done, total, successes, started)}")


def episode_settings(plan: RolloutPlan, seed: int) -> dict[str, Any]:
    """What decides an episode, as plain values."""
    return {"what": "episode", **plan.settings(), "seed": seed}


def success_rows(plans: Sequence[RolloutPlan], seeds: range, kept: KeptResults) -> list[dict[str, Any]]:
    """A row for each plan of which an episode has run: successes, Wilson's interval, and the paired test against plain.

    p: McNemar's exact test over the `pairs` of episodes that both ran; only_plain, only_this: those in which one of the
    two succeeded.
    """
    found = {plan: _successes(plan, seeds, kept) for plan in plans}
    rows = []
    for plan, successes in found.items():
        if not successes:
            continue
        plain = found.get(replace(plan, steering=replace(plan.steering, integrator="plain")), {})
        pairs = [(plain[seed], successes[seed]) for seed in successes if seed in plain]
        only_plain, only_this = pairs.count((True, False)), pairs.count((False, True))
        total = sum(successes.values())
        rows.append(
            {
                "steering": plan.steering.to_dict(),
                "calls": plan.num_inference_steps,
                "n": len(successes),
                "successes": total,
                "wilson95": wilson_interval(total, len(successes)),
                "pairs": len(pairs),
                "only_plain": only_plain,
                "only_this": only_this,
                "p": mcnemar_exact(only_plain, only_this),
            }
        )
    return rows


def _successes(plan: RolloutPlan, seeds: range, kept: KeptResults) -> Mapping[int, bool]:
    episodes = {seed: kept.get(episode_settings(plan, seed)) for seed in seeds}
    return {seed: episode["success"] for seed, episode in episodes.items() if episode is not None}

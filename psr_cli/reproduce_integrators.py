"""`psr reproduce integrators`: what the Gaussian integrators are worth on a learned policy at few network calls."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psr_eval.kept import KeptResults
    from psr_policy.policy import DiffusionPolicy


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "integrators",
        help="integrators on a learned policy at few calls: distance to the steered flow, and success",
        description="Writes integrators.json, integrators.md and two pictures. What is finished is kept in cells.jsonl "
        "and not run again while the settings are the same; after a change of the code take another folder.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/reproduce/integrators"), help="folder (default: %(default)s)")
    add("--checkpoint", type=Path, default=Path("models/lift_unet"), help="native checkpoint folder")
    add("--task", default="Lift", help="task of the simulator (default: %(default)s)")
    add("--calls", type=int, nargs="+", default=[4, 8, 16], help="network calls (default: 4 8 16)")
    add("--seed", type=int, default=0, help="seed of all noise (default: %(default)s)")
    add("--only", choices=["distances", "success"], help="run only these; the report has whatever is there")
    distances = parser.add_argument_group("distances")
    add = distances.add_argument
    add("--k", type=float, nargs="+", default=[1.0, 2.0, 4.0, 0.5], help="default: 1 2 4 .5")
    add("--sigma", type=float, nargs="+", default=[0.03, 0.1, 0.3], help="default: .03 .1 .3")
    add("--observations", type=int, default=64, help="from the policy's own episodes (default: %(default)s)")
    add("--noises", type=int, default=4, help="starting noises for each observation (default: %(default)s)")
    add("--refinement", type=int, default=5, help="reference's steps per training timestep (default: %(default)s)")
    success = parser.add_argument_group("success")
    add = success.add_argument
    add("--success-k", type=float, nargs="+", default=[1.0, 2.0, 4.0], help="default: 1 2 4")
    add("--success-sigma", type=float, default=0.1, help="default: %(default)s")
    add("--episodes", type=int, default=100, help="initial states (default: %(default)s)")
    add("--first-seed", type=int, default=100_000, help="seeds are this and the following ones")
    add("--workers", type=int, default=1, help="processes for the simulator; the result is the same for any number")
    add("--batch", type=int, default=1, help="episodes that share a network call; 1 is exactly the policy node's way")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import torch

    from psr_eval.integrator_report import write_report
    from psr_eval.integrator_success import run_success, success_plans, success_rows
    from psr_eval.kept import KeptResults
    from psr_eval.rollouts import RolloutPlan
    from psr_policy.checkpoint import load_policy

    for name in ("observations", "noises", "refinement", "episodes", "workers", "batch"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} is {getattr(args, name)}, expected 1 or more")
    torch.set_num_threads(1)  # as the policy node and psr eval
    policy = load_policy(args.checkpoint)
    kept = KeptResults(args.out / "cells.jsonl", {"checkpoint_id": policy.checkpoint_id})
    base = RolloutPlan(args.task, args.checkpoint, noise_seed=args.seed)
    plans = success_plans(base, args.success_k, args.success_sigma, args.calls)
    for plan in plans:
        plan.check()
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    groups = distances(args, policy, kept)
    if args.only != "distances":
        run_success(plans, seeds, kept, args.workers, args.batch, show)
        print()
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    del settings["run"]
    settings["checkpoint_id"] = policy.checkpoint_id
    report = {"settings": settings, "groups": groups, "success": success_rows(plans, seeds, kept)}
    for path in write_report(report, args.out):
        print(path)
    return 0


def distances(args: argparse.Namespace, policy: DiffusionPolicy, kept: KeptResults) -> list[dict[str, Any]]:
    """Results of every (k, σ) that is kept or, unless --only success, measured now."""
    from psr_core.steering import Steering
    from psr_eval.integrators import Group, Inputs, groups, measure, network_calls, observe, whole_reference

    wanted = groups(args.k, args.sigma, args.calls)

    def settings(group: Group) -> dict[str, Any]:
        fields = {name: getattr(args, name) for name in ("task", "seed", "observations", "noises", "refinement")}
        cells = {"steerings": [s.to_dict() for s in group.steerings], "calls": list(group.calls)}
        return {"what": "distances", **fields, **cells}

    missing = [group for group in wanted if kept.get(settings(group)) is None]
    if missing and args.only != "success":
        print(f"{args.observations} observations from episodes of {policy.checkpoint_id}", flush=True)
        inputs = Inputs(observe(policy, args.task, args.observations), args.seed, args.noises)
        progress = Calls(sum(network_calls(policy, group, args.refinement) for group in missing))
        unsteered = whole_reference(policy, inputs, Steering())
        for group in missing:
            progress.name = group.reference.label()
            found = measure(policy, inputs, group, unsteered, args.refinement, progress)
            kept.add(settings(group), {"reference": group.reference.to_dict(), **found})
        print()
    results = [kept.get(settings(group)) for group in wanted]
    return [result for result in results if result is not None]


def show(text: str) -> None:
    """Replace the line of progress."""
    print(f"\r{text:100}", end="", flush=True)


class Calls:
    """Counts network calls of a total and shows, from time to time, how many are left and for how long."""

    def __init__(self, total: int) -> None:
        self.name, self._done, self._total, self._started = "", 0, total, time.monotonic()

    def __call__(self) -> None:
        self._done += 1
        if self._done % 20 == 0:
            left = (time.monotonic() - self._started) * (self._total - self._done) / self._done
            show(f"{self.name}: {self._done}/{self._total} network calls, {left:.0f} s left")

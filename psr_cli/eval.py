"""`psr eval`: success rate of a checkpoint in the simulator, without ROS."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from psr_cli.options import add_sampling_options, default_checkpoint, steering_from

if TYPE_CHECKING:
    from psr_eval.player import Outcome
    from psr_eval.rollouts import RolloutPlan


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("eval", help="success rate of a checkpoint in the simulator, without ROS")
    parser.add_argument("--task", default="Lift", help="task of the simulator (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="native checkpoint folder (default: the task's in models/)")
    parser.add_argument("--episodes", type=int, default=100, help="number of seeds (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=100_000, help="seeds are this and the following ones")
    parser.add_argument("--max-steps", type=int, default=0, help="steps per episode (default: the task's own limit)")
    parser.add_argument("--workers", type=int, default=2, help="simulator processes; any number gives the same result")
    parser.add_argument("--batch", type=int, default=8, help="rows of a network call; 1 is the node's, bit for bit")
    parser.add_argument(
        "--out", type=Path, help="write settings and episodes to this JSON file; goes on from its .jsonl"
    )
    parser.add_argument("--card", action="store_true", help="write the rate into the checkpoint's card")
    add_sampling_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_core.statistics import wilson_interval
    from psr_eval.rollouts import RolloutPlan
    from psr_policy.checkpoint import add_to_card
    from sim.tasks import get_task

    args.checkpoint = args.checkpoint or default_checkpoint(get_task(args.task).name)
    if args.episodes < 1:
        raise ValueError(f"--episodes is {args.episodes}, expected 1 or more")
    plan = RolloutPlan(
        args.task, args.checkpoint, steering_from(args), args.sampler, args.steps, args.noise_seed, args.max_steps
    )
    outcomes = _play(args, plan)
    successes = sum(outcome.success for outcome in outcomes)
    low, high = wilson_interval(successes, len(outcomes))
    reward = sum(outcome.max_reward for outcome in outcomes) / len(outcomes)
    print(
        f"\n{args.task}, {plan.steering.label()}, {args.sampler} {args.steps} steps: {successes}/{len(outcomes)} "
        f"= {successes / len(outcomes):.1%} (Wilson 95 %: {low:.1%} to {high:.1%}), mean maximum reward {reward:.3f}"
    )
    report = {
        "task": args.task,
        "checkpoint": str(args.checkpoint),
        "steering": plan.steering.to_dict(),
        "sampler": args.sampler,
        "num_inference_steps": args.steps,
        "noise_seed": args.noise_seed,
        "first_seed": args.first_seed,
        "batch": args.batch,
        "n": len(outcomes),
        "successes": successes,
        "wilson95": [low, high],
        "mean_max_reward": reward,
    }
    if args.card:
        add_to_card(args.checkpoint, "evaluation", report)
    if args.out:
        report["episodes"] = [outcome.to_dict() for outcome in outcomes]
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _play(args: argparse.Namespace, plan: RolloutPlan) -> list[Outcome]:
    """The outcomes in the order of their seeds; with --out each is kept at once, and none is played twice."""
    from psr_eval.outcome_log import OutcomeLog
    from psr_eval.rollouts import progress_line, run_episodes
    from psr_policy.checkpoint import read_description

    seeds = range(args.first_seed, args.first_seed + args.episodes)
    log, outcomes = None, {}
    if args.out:
        weights = read_description(args.checkpoint)["card"]["sha256"]
        log = OutcomeLog(args.out.with_suffix(".jsonl"), {**plan.settings(), "sha256": weights, "batch": args.batch})
        outcomes = {seed: log.outcomes[seed] for seed in seeds if seed in log.outcomes}
    before, started = len(outcomes), time.monotonic()
    missing = [seed for seed in seeds if seed not in outcomes]
    for outcome in run_episodes(plan, missing, args.workers, args.batch):
        outcomes[outcome.seed] = outcome
        if log:
            log.add(outcome)
        successes = sum(o.success for o in outcomes.values())
        line = progress_line(len(outcomes), len(seeds), successes, started, before)
        print(f"\r{line}   ", end="", flush=True)
    return [outcomes[seed] for seed in seeds]

"""`psr eval`: success rate of a checkpoint in the simulator, without ROS."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from psr_cli.options import add_sampling_options, steering_from


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("eval", help="success rate of a checkpoint in the simulator, without ROS")
    parser.add_argument("--task", default="Lift", help="task of the simulator (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, default=Path("models/lift_unet"), help="native checkpoint folder")
    parser.add_argument("--episodes", type=int, default=100, help="number of seeds (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=100_000, help="seeds are this and the following ones")
    parser.add_argument("--max-steps", type=int, default=0, help="steps per episode (default: the task's own limit)")
    parser.add_argument("--workers", type=int, default=1, help="processes; the result is the same for any number")
    parser.add_argument("--out", type=Path, help="write settings and every episode to this JSON file")
    parser.add_argument("--card", action="store_true", help="write the rate into the checkpoint's card")
    add_sampling_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_core.statistics import wilson_interval
    from psr_eval.rollouts import RolloutPlan, progress_line, run_episodes
    from psr_policy.checkpoint import add_to_card

    if args.episodes < 1:
        raise ValueError(f"--episodes is {args.episodes}, expected 1 or more")
    plan = RolloutPlan(
        args.task, args.checkpoint, steering_from(args), args.sampler, args.steps, args.noise_seed, args.max_steps
    )
    started, outcomes, successes = time.monotonic(), [], 0
    for outcome in run_episodes(plan, range(args.first_seed, args.first_seed + args.episodes), args.workers):
        outcomes.append(outcome)
        successes = sum(o.success for o in outcomes)
        print(f"\r{progress_line(len(outcomes), args.episodes, successes, started)}   ", end="", flush=True)
    outcomes.sort(key=lambda outcome: outcome.seed)
    low, high = wilson_interval(successes, len(outcomes))
    print(
        f"\n{args.task}, {plan.steering.label()}, {args.sampler} {args.steps} steps: {successes}/{len(outcomes)} "
        f"= {successes / len(outcomes):.1%} (Wilson 95 %: {low:.1%} to {high:.1%})"
    )
    report = {
        "task": args.task,
        "checkpoint": str(args.checkpoint),
        "steering": plan.steering.to_dict(),
        "sampler": args.sampler,
        "num_inference_steps": args.steps,
        "noise_seed": args.noise_seed,
        "first_seed": args.first_seed,
        "n": len(outcomes),
        "successes": successes,
        "wilson95": [low, high],
    }
    if args.card:
        add_to_card(args.checkpoint, "evaluation", report)
    if args.out:
        report["episodes"] = [outcome.to_dict() for outcome in outcomes]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0

"""`psr reproduce policy`: what steering is worth on a robot's policy, in the manner of the thesis' table 1.4."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.options import default_checkpoint
from psr_cli.progress import Progress

if TYPE_CHECKING:
    from psr_eval.policy_episodes import Job

DESCRIPTION = """Plays every setting from the same initial states, and compares them: best on all states as the thesis
does, and chosen on one half of the states, confirmed on the other. Writes table.json, table.md, heatmap.png and
confirmed.yaml, parameters for the policy node."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "policy",
        help="steered policies in the simulator: success, choice of (k, σ), what of it is confirmed (table 1.4)",
        description=DESCRIPTION,
        epilog="Interrupted: the same command goes on. After a change of the code take another --out.",
    )
    add = parser.add_argument
    add("--task", default="Lift", help="task of the simulator (default: %(default)s)")
    add(
        "--checkpoint",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="native checkpoint folders, several for several training seeds (default: the task's in models/)",
    )
    add("--settings", type=Path, metavar="FILE", help="settings to compare (default: config/reproduce/policy.yaml)")
    add("--episodes", type=int, default=150, help="initial states (default: %(default)s)")
    add("--first-seed", type=int, default=100_000, help="seeds are this and the following ones (default: %(default)s)")
    add("--steps", type=int, default=16, help="network calls per sample (default: %(default)s)")
    add("--noise-seed", type=int, default=0, help="seed of the policy's own noise (default: %(default)s)")
    add("--max-steps", type=int, default=0, help="steps per episode (default: the task's own limit)")
    add("--workers", type=int, default=2, help="simulator processes; any number gives the same result")
    add("--batch", type=int, default=8, help="rows of a network call; 1 is the node's, bit for bit (default: 8)")
    add("--out", type=Path, help="folder (default: runs/reproduce/policy/<task>)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play what is missing, compare, write the report; 130 when interrupted (the episodes played stay)."""
    from psr_eval.policy_comparison import compare
    from psr_eval.policy_episodes import by_row, play
    from psr_eval.policy_report import write_report
    from sim.tasks import get_task

    if args.episodes < 2:
        raise ValueError(f"--episodes is {args.episodes}, expected 2 or more: one for each half")
    for name in ("workers", "batch"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} is {getattr(args, name)}, expected 1 or more")
    task = get_task(args.task)
    args.checkpoint = args.checkpoint or [default_checkpoint(task.name)]
    wanted = _jobs(args)
    out = args.out or Path("runs/reproduce/policy") / task.name
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    progress = Progress("episodes")
    try:
        outcomes = play(wanted, seeds, out / "episodes", args.workers, args.batch, progress.count)
        progress.end()
        paths = write_report(compare(by_row(outcomes), task.score), _settings(args, wanted), out)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {out} keeps the episodes played; the same command goes on", file=sys.stderr)
        return 130
    print((out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0


def _jobs(args: argparse.Namespace) -> list[Job]:
    from psr_cli.graph import suite_root
    from psr_eval.policy_episodes import jobs
    from psr_eval.policy_rows import read_rows
    from psr_eval.rollouts import RolloutPlan

    rows = read_rows(args.settings or suite_root() / "config" / "reproduce" / "policy.yaml")
    base = RolloutPlan(
        args.task,
        args.checkpoint[0],
        num_inference_steps=args.steps,
        noise_seed=args.noise_seed,
        max_steps=args.max_steps,
    )
    return jobs(rows, args.checkpoint, base)


def _settings(args: argparse.Namespace, wanted: list[Job]) -> dict[str, Any]:
    """What decides the figures, as plain values. grades: of the demonstrations that the checkpoints come from."""
    from psr_policy.checkpoint import read_description

    same = ("task", "episodes", "first_seed", "noise_seed", "max_steps", "batch")
    cards = [read_description(folder)["card"] for folder in args.checkpoint]
    return {
        **{name: getattr(args, name) for name in same},
        "num_inference_steps": args.steps,
        "grades": sorted({card.get("data", {}).get("grade", "unknown") for card in cards}),
        "checkpoints": list(dict.fromkeys(job.checkpoint_id for job in wanted)),
    }

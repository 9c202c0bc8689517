"""psr demos: record a scripted expert's demonstrations."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.demos import DemoReport


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demos",
        help="record demonstrations of a scripted expert (robomimic HDF5)",
        description="Record demonstrations in robomimic's HDF5 layout. Only successful episodes are kept. "
        "An interrupted recording goes on where it stopped when the same command is given again.",
    )
    parser.add_argument("--task", default="Lift", help="task to record (default: %(default)s)")
    parser.add_argument(
        "--grade",
        default="proficient",
        help="proficient: clean and varied; mixed: several strategies, hesitations, corrections (default: %(default)s)",
    )
    parser.add_argument("--episodes", type=int, default=200, help="demonstrations to keep (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count up from here (default: %(default)s)")
    parser.add_argument("--out", required=True, metavar="FILE.hdf5", help="file to write or to go on with")
    parser.add_argument("--workers", type=int, default=2, help="processes; the file does not depend on it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record; 0 when complete, 130 when interrupted (the file is whole and can be gone on with)."""
    from sim.demos import record_demos

    latest: list[DemoReport] = []

    def show(report: DemoReport) -> None:
        latest[:] = [report]
        end = "\r" if sys.stderr.isatty() else "\n"
        if end == "\r" or report.kept % 10 == 0:
            print(f"{report.kept}/{args.episodes} kept, {len(report.failed_seeds)} failed", end=end, file=sys.stderr)

    try:
        report = record_demos(
            args.task,
            args.episodes,
            args.first_seed,
            args.out,
            grade=args.grade,
            workers=args.workers,
            command="psr " + " ".join(sys.argv[1:]),
            progress=show,
        )
    except KeyboardInterrupt:
        kept = latest[0].kept if latest else 0
        print(f"\ninterrupted: {args.out} holds {kept} demonstrations; the same command goes on", file=sys.stderr)
        return 130
    print(
        f"{args.out}: {report.kept} demonstrations, {report.total_steps} steps; the expert failed on "
        f"{len(report.failed_seeds)} seeds {list(report.failed_seeds)}, which are left out"
    )
    return 0

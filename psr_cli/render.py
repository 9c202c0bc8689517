"""psr render: RGB-D images for a depth model."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from psr_cli.progress import Progress

if TYPE_CHECKING:
    from sim.rgbd.render import RenderReport


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "render",
        help="render RGB-D images to train a depth model on",
        description="Render colour images with exact depth: rooms of random things and the robot's own scenes; those "
        "for tests show other things and patterns than those for training. "
        "An interrupted rendering goes on where it stopped when the same command is given again.",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write or to go on with")
    parser.add_argument("--train", type=int, default=8000, help="images for training (default: %(default)s)")
    parser.add_argument("--test", type=int, default=400, help="images for tests (default: %(default)s)")
    parser.add_argument("--width", type=int, default=160, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=120, help="pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenes (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes; the images do not depend on it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render; 0 when complete, 130 when interrupted (the same command goes on)."""
    from sim.rgbd.render import Plan, render

    line = Progress("images")
    reports: list[RenderReport] = []  # the first, which says what was there already, and the latest

    def show(report: RenderReport) -> None:
        reports[1:] = [report]
        before = reports[0].images
        line.count(report.images - before, report.total - before, args.out)

    plan = Plan(args.train, args.test, args.width, args.height, args.seed)
    command = "psr " + " ".join(sys.argv[1:])
    try:
        report = render(plan, args.out, workers=args.workers, command=command, progress=show)
    except KeyboardInterrupt:
        done = reports[-1].images if reports else 0
        line.end(f"interrupted: {args.out} holds {done} of {args.train + args.test} images; the same command goes on")
        return 130
    line.end()
    print(
        f"{args.out}: {args.train} images for training, {args.test} for tests; "
        f"{report.rejected.total()} other views were rejected"
    )
    for fault, count in report.rejected.most_common():
        print(f"  {count:6d}  {fault}")
    return 0

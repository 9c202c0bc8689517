"""What the subcommands that render to a folder have in common: options, progress, and how they are interrupted."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from psr_cli.progress import Progress

if TYPE_CHECKING:
    from sim.rendering_run import RenderReport


def add_rendering_options(parser: argparse.ArgumentParser, train: int, test: int) -> None:
    """The options that every rendering has, with the usual numbers of images."""
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write or to go on with")
    parser.add_argument("--train", type=int, default=train, help="images for training (default: %(default)s)")
    parser.add_argument("--test", type=int, default=test, help="images for tests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenes (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes; the images do not depend on it")


def run_rendering(args: argparse.Namespace, plan: Any, render: Any) -> RenderReport | None:
    """What render(plan, folder, ...) reports, its progress shown; None when it was interrupted, which is said."""
    line = Progress("images")
    reports: list[RenderReport] = []  # the first, which says what was there already, and the latest

    def show(report: RenderReport) -> None:
        reports[1:] = [report]
        before = reports[0].images
        line.count(report.images - before, report.total - before, args.out)

    command = "psr " + " ".join(sys.argv[1:])
    try:
        report: RenderReport = render(plan, args.out, workers=args.workers, command=command, progress=show)
    except KeyboardInterrupt:
        done = reports[-1].images if reports else 0
        line.end(f"interrupted: {args.out} holds {done} of {args.train + args.test} images; the same command goes on")
        return None
    line.end()
    return report

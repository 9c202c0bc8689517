"""psr render: RGB-D images for a depth model."""

from __future__ import annotations

import argparse

from psr_cli.rendering import add_rendering_options, run_rendering


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "render",
        help="render RGB-D images to train a depth model on",
        description="Render colour images with exact depth: rooms of random things and the robot's own scenes; those "
        "for tests show other things and patterns than those for training. "
        "An interrupted rendering goes on where it stopped when the same command is given again.",
    )
    add_rendering_options(parser, train=8000, test=400)
    parser.add_argument("--width", type=int, default=160, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=120, help="pixels (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render; 0 when complete, 130 when interrupted (the same command goes on)."""
    from sim.rgbd.render import Plan, render

    plan = Plan(args.train, args.test, args.width, args.height, args.seed)
    report = run_rendering(args, plan, render)
    if report is None:
        return 130
    print(
        f"{args.out}: {args.train} images for training, {args.test} for tests; "
        f"{report.rejected.total()} other views were rejected"
    )
    for fault, count in report.rejected.most_common():
        print(f"  {count:6d}  {fault}")
    return 0

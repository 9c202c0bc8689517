"""psr objects: pictures of single objects with the words for them, for an image prior."""

from __future__ import annotations

import argparse

from psr_cli.rendering import add_rendering_options, run_rendering


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "objects",
        help="render pictures of objects to train an image prior on",
        description="Render single objects (mugs, chairs, cars and others) in random shapes, colours and materials "
        "before a light background, from all around, with the words for what is seen; `psr train prior` learns from "
        "them. An interrupted rendering goes on where it stopped when the same command is given again.",
    )
    add_rendering_options(parser, train=24000, test=1000)
    parser.add_argument("--size", type=int, default=64, help="pixels of a side (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render; 0 when complete, 130 when interrupted (the same command goes on)."""
    from sim.objects.render import ObjectPlan, render_objects

    plan = ObjectPlan(args.train, args.test, args.size, args.seed)
    report = run_rendering(args, plan, render_objects)
    if report is None:
        return 130
    print(f"{args.out}: {args.train} images for training, {args.test} for tests")
    return 0

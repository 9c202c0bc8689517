"""`psr convert`: a checkpoint of another project becomes a policy folder; nothing in it is executed."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="turn a Diffusion Policy, robomimic or LeRobot checkpoint into a policy folder",
        description="Reads a Diffusion Policy .ckpt, a robomimic .pth or a LeRobot folder (diffusion policies for "
        "low-dimensional observations) without executing anything in it, and writes a policy folder. "
        "`psr info SOURCE` says beforehand what it holds, and whether it can be converted.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="checkpoint file or folder")
    parser.add_argument("dest", type=Path, metavar="DEST", help="folder to write, which holds no policy yet")
    parser.add_argument("--format", default="auto", choices=("auto", "chi", "robomimic", "lerobot"))
    parser.add_argument(
        "--obs-keys", type=_sized_names, metavar="NAME:SIZE,...", help="names of the observations, in the file's order"
    )
    parser.add_argument("--action-names", type=_names, metavar="NAME,...", help="a name for each number of an action")
    parser.add_argument("--step-period", type=float, metavar="SECONDS", help="length of a control step")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_policy.importers.describe import describe_policy, policy_lines
    from psr_policy.importers.foreign import renamed
    from psr_policy.importers.formats import LABELS, open_source, read, save

    foreign = renamed(read(open_source(args.source, args.format)), args.obs_keys, args.action_names, args.step_period)
    policy = save(foreign, args.dest, shlex.join(["psr", *sys.argv[1:]]))
    print("\n".join([f"{args.source}: {LABELS[foreign.format]}", *policy_lines(describe_policy(policy))]))
    for note in foreign.notes:
        print(f"psr: note: {note}", file=sys.stderr)
    print(f"wrote {args.dest} ({policy.checkpoint_id})")
    return 0


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}: expected different names with commas between them")
    return names


def _sized_names(text: str) -> tuple[tuple[str, int], ...]:
    pairs = [item.rpartition(":") for item in text.split(",")]
    if not all(name and size.isdecimal() and int(size) for name, _, size in pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME:SIZE,NAME:SIZE,... such as keypoint:18,agent_pos:2")
    return tuple((name, int(size)) for name, _, size in pairs)

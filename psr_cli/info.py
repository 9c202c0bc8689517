"""`psr info`: what a checkpoint holds, and whether it can be used, without converting it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "info",
        help="what a checkpoint holds: ours, Diffusion Policy's, robomimic's or LeRobot's",
        description="Explains a checkpoint without converting it or executing anything in it. "
        "Exit code 1 when it can neither be used nor converted.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="policy folder, or foreign file or folder")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_policy.importers.describe import as_text, describe

    facts = describe(args.checkpoint)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if args.json else as_text(facts))
    return 0 if facts["usable"] else 1

"""What the `psr train` commands have in common: an option, a model's card, and a run that can be stopped."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psr_core.training_run import TrainingRun


def add_precision_option(parser: argparse.ArgumentParser) -> None:
    """--precision, as psr_core.devices.precision_on takes it."""
    parser.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="of the arithmetic while learning; auto is bfloat16 where the device computes in it",
    )


def card_so_far() -> dict[str, Any]:
    """Command and git revision."""
    from psr_core.files import git_revision

    return {"command": shlex.join(["psr", *sys.argv[1:]]), "git_revision": git_revision()}


def run_to_end(training: TrainingRun, save_seconds: float) -> bool:
    """Trains until the end, or until Ctrl-C or SIGTERM, which saves and says so; whether it came to the end."""
    from psr_cli.stop_request import StopRequest

    finished = training.train(
        should_stop=StopRequest().requested, report=lambda line: print(line, flush=True), save_seconds=save_seconds
    )
    if not finished:
        print(f"stopped and saved at step {training.trainer.step}; the same command with --resume continues")
    return finished

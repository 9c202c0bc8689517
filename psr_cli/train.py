"""`psr train`: trains the models that the suite brings along, or your own."""

from __future__ import annotations

from typing import Any

from psr_cli import train_depth, train_judge, train_policy, train_pose, train_prior


def add_parser(subparsers: Any) -> None:
    """Adds `train` with its subjects."""
    parser = subparsers.add_parser("train", help="train a model")
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for subject in (train_policy, train_depth, train_pose, train_prior, train_judge):
        subject.add_parser(subjects)

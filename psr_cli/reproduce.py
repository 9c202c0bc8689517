"""`psr reproduce KIND`: tables and pictures of the papers, computed anew."""

from __future__ import annotations

import argparse
import importlib

# Each is a module psr_cli.reproduce_<name> with add_parser(subparsers), which says how to run it.
KINDS = (
    "toy",
    "distillation-toy",
    "distillation-2d",
    "mesh",
    "inversion",
    "image",
    "integrators",
    "depth",
    "sparse-depth",
    "pose",
    "pose-video",
    "rotations",
    "policy",
    "grades",
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("reproduce", help="tables and pictures of the papers, computed anew")
    parser.set_defaults(run=lambda _: parser.print_help() or 2)
    kinds = parser.add_subparsers(metavar="KIND")
    for name in KINDS:
        importlib.import_module(f"psr_cli.reproduce_{name.replace('-', '_')}").add_parser(kinds)

"""`psr reproduce grades`: does it depend on the grade of the demonstrations which way to turn the dial?"""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """Puts finished tables of `psr reproduce policy` beside each other, one for each task and grade of
demonstrations, and tests whether flat sampling (k < 1) serves the weaker policy and sharp sampling (k > 1) the better
one. Writes grades.json, grades.md and grades.png."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "grades",
        help="policies from proficient and from mixed demonstrations under the same settings, in one figure",
        description=DESCRIPTION,
    )
    add = parser.add_argument
    add("folders", type=Path, nargs="+", metavar="FOLDER", help="--out of psr reproduce policy")
    add("--out", type=Path, default=Path("runs/reproduce/grades"), help="folder (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_eval.grade_comparison import compare_grades, read_table
    from psr_eval.grade_report import write_report

    paths = write_report(compare_grades([read_table(folder) for folder in args.folders]), args.out)
    print((args.out / "grades.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0

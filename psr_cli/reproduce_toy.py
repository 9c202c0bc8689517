"""`psr reproduce toy`: steering on Gaussian mixtures, where the target is known (thesis, sections 1.3 and A.2)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psr_core.mixtures import NamedMixture

# The mixtures of config/mixtures/, and the figure of the thesis that each is for.
FIGURES = {
    "isotropic_uniform": "fig_1_3.png",
    "anisotropic": "fig_1_4.png",
    "isotropic_weighted": "fig_A_3.png",
    "weakly_separated": "fig_A_4.png",
}
FIGURE_SAMPLES = 20_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "toy",
        help="steering on 2-D Gaussian mixtures against the known target: figures and a table",
        description="Writes the figures, table.json and table.md. Finished cells of the table are kept in cells.jsonl "
        "and not run again while settings and code are the same.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce/toy"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--mixture", type=Path, nargs="+", metavar="FILE", help="mixtures of your own, as in config/mixtures/"
    )
    parser.add_argument("--samples", type=int, default=50_000, help="samples per cell (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all noise (default: %(default)s)")
    parser.add_argument("--only", choices=["figures", "table"], help="make only these")
    parser.add_argument("--workers", type=int, default=2, help="threads; the result is the same for any number")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_core.mixtures import load_mixture

    for name in ("samples", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} is {getattr(args, name)}, expected 1 or more")
    sources = [load_mixture(path) for path in args.mixture or shipped_mixtures()]
    for source in sources:
        if source.mixture.dim != 2:
            raise ValueError(f"mixture {source.name} has {source.mixture.dim} dimensions, expected 2")
    if len({source.name for source in sources}) < len(sources):
        raise ValueError(
            f"mixtures are named {', '.join(s.name for s in sources)}, expected a name of its own for each"
        )
    if args.only != "table":
        write_figures(sources, args)
    if args.only != "figures":
        write_tables(sources, args)
    return 0


def shipped_mixtures() -> list[Path]:
    """The mixture files that come with the suite."""
    from psr_cli.graph import suite_root

    return [suite_root() / "config" / "mixtures" / f"{name}.yaml" for name in FIGURES]


def write_figures(sources: list[NamedMixture], args: argparse.Namespace) -> None:
    """One figure for each mixture, with r_t's before those of the thesis; prints each path."""
    from psr_eval.toy_figures import compared_panels, sigma_panels, write_factor_figure, write_samples_figure

    n = min(args.samples, FIGURE_SAMPLES)
    if not args.mixture:
        write_factor_figure(args.out / "fig_1_2.png")
        print(args.out / "fig_1_2.png")
    for source in sources:
        path = args.out / (f"fig_{source.name}.png" if args.mixture else FIGURES[source.name])
        if path.name == FIGURES["anisotropic"]:
            rows = sigma_panels(source, n, args.seed)
        else:
            rows = compared_panels(source, n, args.seed, nes=bool(args.mixture))
        write_samples_figure(rows, path, args.workers)
        print(path, flush=True)


def write_tables(sources: list[NamedMixture], args: argparse.Namespace) -> None:
    """table.json and table.md of all mixtures; prints progress and the paths."""
    from psr_eval.toy import run_cells, table_cells
    from psr_eval.toy_table import write_table

    cells = [cell for source in sources for cell in table_cells(source, args.samples, args.seed)]
    results = run_cells(
        cells, args.out / "cells.jsonl", args.workers, lambda text: print(f"\r{text}   ", end="", flush=True)
    )
    print()
    for path in write_table(sources, results, args.out):
        print(path)

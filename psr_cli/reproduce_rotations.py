"""`psr reproduce rotations`: steering on SO(3) where the score is known, and which steps diverge."""

from __future__ import annotations

import argparse
from pathlib import Path

from psr_cli.progress import Progress


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "rotations",
        help="steering on a known density of rotations: steps x (k, eta, cap), and where it diverges",
        description="Samples a mixture on SO(3) whose modes are the rotations of a symmetry group: unsteered, by PSR "
        "and by PSR with the cap; with and without injected noise; with the levels indexed correctly and as upstream "
        "does. Needs no model. Writes table.json and table.md.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/reproduce/rotations"), help="folder (default: %(default)s)")
    add("--symmetry", type=Path, metavar="FILE", help="the modes (default: the cube's 24, config/symmetries/cube.yaml)")
    add("--spread", type=float, default=0.4, metavar="DEGREES", help="of a mode (default: %(default)s)")
    add("--error", type=float, default=0.05, help="of the denoiser, in units of its noise (default: %(default)s)")
    add("--steps", type=int, nargs="+", default=[100, 50, 20, 10], help="network calls (default: 100 50 20 10)")
    add("--k", type=float, default=7.0, help="sharpness (default: %(default)s)")
    add("--sigma", type=float, default=0.5, help="assumed spread of a mode (default: %(default)s)")
    add("--samples", type=int, default=400, help="of each setting (default: %(default)s)")
    add("--seed", type=int, default=0, help="of all noise (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sample every setting, write the table."""
    import math

    from psr_cli.graph import suite_root
    from psr_core.so3_mixtures import RotationMixture
    from psr_core.steering import Steering
    from psr_eval.pose_mixture import table, write_table
    from psr_perception.pose.symmetry import load_symmetry

    if args.samples < 1:
        raise ValueError(f"--samples is {args.samples}, expected 1 or more")
    symmetry = load_symmetry(args.symmetry or suite_root() / "config" / "symmetries" / "cube.yaml")
    if symmetry.axis is not None:
        raise ValueError(f"{args.symmetry} has a continuous axis, expected a finite group: its rotations are the modes")
    mixture = RotationMixture(symmetry.elements, math.radians(args.spread))
    progress = Progress("settings")
    cells = table(
        mixture, args.steps, Steering(args.k, args.sigma), args.samples, args.error, args.seed, progress.count
    )
    progress.end()
    settings = {name: getattr(args, name) for name in ("error", "samples", "seed")}
    settings |= {"symmetry": symmetry.name, "spread_degrees": args.spread}
    paths = write_table(cells, mixture, settings, args.out)
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0

"""`psr reproduce distillation-toy`: score distillation where the truth is known, every method at the same cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.progress import Progress

if TYPE_CHECKING:
    from psr_core.distillation.prior import Prior
    from psr_core.mixtures import GaussianMixture
    from psr_eval.distillation_rows import Row
    from psr_eval.distillation_toy import Job, Known

DATA = ("fractal", "spiral", "pinwheel")
PRIORS = ("exact", "samples", "learned")
METHODS = ("ddim", "sds", "asd", "hifa", "vsd", "consistent3d", "sdi", "dsd", "msd")
DESCRIPTION = """Distils particles of the plane by every method, with a prior that is exact and one that is learned on
the spot, as many model calls for each, and judges them by the density itself. Writes table.md, table.json, samples.png
and landscapes.png. What is finished is kept in results.jsonl, and a learned prior in prior_*, so that after Ctrl-C the
same command goes on."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "distillation-toy",
        help="score distillation on known densities: fidelity, diversity, cost, loss landscapes",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/reproduce/distillation_toy"), help="folder")
    add("--data", nargs="+", choices=DATA, default=DATA, help="densities")
    add("--priors", nargs="+", choices=PRIORS, default=("exact", "learned"), help="what is known of them")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="of distillation, and DDIM")
    add("--particles", type=int, default=256, help="of each row")
    add("--calls", type=int, default=300, help="of the model, for each particle")
    add("--training-steps", type=int, default=2000, help="of a learned prior")
    add("--seed", type=int, default=0, help="of everything")
    add("--workers", type=int, default=2, help="threads; the result is the same for any number")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs what is not kept yet, and writes the report; 130 when interrupted (what is finished stays)."""
    import torch

    from psr_eval.distillation_report import write_report
    from psr_eval.distillation_toy import run_jobs
    from psr_eval.kept import KeptResults

    _check(args)
    torch.set_num_threads(1)
    args.data, args.priors = (list(dict.fromkeys(each)) for each in (args.data, args.priors))
    rows = _rows(args)
    kept, progress = KeptResults(args.out / "results.jsonl"), Progress("jobs")
    try:
        jobs = [job for known in _knowledge(args) for job in _jobs(args, known, rows)]
        results = run_jobs(jobs, kept, args.workers, progress.count)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was computed; the same command goes on", file=sys.stderr)
        return 130
    progress.end()
    names = ("particles", "calls", "training_steps", "seed")
    paths = write_report(jobs, results, {name: getattr(args, name) for name in names}, args.out)
    print("\n".join(map(str, paths)))
    return 0


def _check(args: argparse.Namespace) -> None:
    from psr_core.distillation.learned import PriorSettings
    from psr_eval.distillation_rows import LEVELS
    from psr_eval.point_metrics import FEWEST

    least = {"particles": FEWEST, "calls": 1, "workers": 1, "training_steps": 1}
    for name, smallest in least.items():
        if getattr(args, name) < smallest:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is {getattr(args, name)}, expected {smallest} or more")
    if args.calls > LEVELS.last:
        raise ValueError(f"--calls is {args.calls}, expected at most {LEVELS.last}: DDIM has no more steps")
    PriorSettings(seed=args.seed)


def _rows(args: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """The rows for every prior, and those for the first alone. Raises ValueError where the calls are too few."""
    from psr_eval.distillation_rows import CENTRED, ROWS, SEVERAL, STEERED, TRUTH, iterations

    def asked(rows: tuple[Row, ...]) -> list[Row]:
        return [row for row in rows if row.method in (TRUTH, *args.methods)]

    everywhere, once = asked(ROWS + STEERED), asked(CENTRED)
    for row in everywhere + once:
        if row.method != TRUTH:
            iterations(row, args.calls)
    return everywhere + [row for row in asked(SEVERAL) if _pays(row, args.calls)], once


def _pays(row: Row, calls: int) -> bool:
    """Whether so many calls are enough for an iteration."""
    from psr_eval.distillation_rows import iterations

    try:
        return iterations(row, calls) > 0
    except ValueError:
        return False


def _knowledge(args: argparse.Namespace) -> list[Known]:
    from psr_eval.distillation_priors import known_prior
    from psr_eval.distillation_toy import known
    from psr_eval.planar_densities import DENSITIES

    found = []
    for data in args.data:
        mixture = DENSITIES[data]()
        for kind in args.priors:
            training: dict[str, Any] = {}
            if kind == "learned":
                prior, error = _learned(args, data, mixture)
                training = {"steps": args.training_steps, "error": error}
            else:
                prior = known_prior(kind, mixture, args.seed)
            found.append(known(data, kind, mixture, prior, args.particles, args.seed, training))
    return found


def _learned(args: argparse.Namespace, data: str, mixture: GaussianMixture) -> tuple[Prior, float]:
    from psr_core.distillation.learned import PriorSettings
    from psr_eval.distillation_priors import learned_prior

    settings, progress = PriorSettings(steps=args.training_steps, seed=args.seed), Progress("steps")
    folder = args.out / f"prior_{data}_{args.training_steps}_{args.seed}"
    learned = learned_prior(mixture, folder, settings, lambda text: progress.say(f"prior of {data}: {text}"))
    progress.end()
    return learned


def _jobs(args: argparse.Namespace, known: Known, rows: tuple[list[Row], list[Row]]) -> list[Job]:
    from psr_eval.distillation_rows import LANDSCAPES, ROWS
    from psr_eval.distillation_toy import Cell, Efficiency, Landscape

    everywhere, once = rows
    common = args.particles, args.calls, args.seed
    first = known.prior_kind == args.priors[0]
    jobs: list[Job] = [Cell(known, row, *common) for row in everywhere + once * first]
    plain = [row for row in everywhere if row in ROWS and row.is_distillation]
    jobs += [Efficiency(known, row, *common) for row in plain if row.method != "vsd"]  # whose critic says 0 at first
    if first:
        jobs += [Landscape(known, row, *common, share, repeats) for row, share, repeats in LANDSCAPES if row in plain]
    return jobs

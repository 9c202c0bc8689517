"""`psr reproduce distillation-2d`: every method of score distillation side by side on images."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.picture_comparison import (
    add_prior_options,
    check_least,
    check_prompts,
    clip_space,
    methods_with_words,
    text_prior,
)
from psr_cli.progress import Progress

if TYPE_CHECKING:
    from psr_eval.distillation_2d import Job, Setting

GROUPS = ("methods", "ladder", "inversion_steps")
METHODS = ("ddim", "ddpm", "sds", "asd", "hifa", "nfsd", "vsd", "esd", "consistent3d", "sdi", "dsd", "msd")
PROMPTS = ("a mug", "a wooden chair", "a car", "a red teapot", "a house", "a lamp")
PICTURES = ("latent", "pixels", "mlp")
FEWEST_SEEDS = 2
REFERENCE_BATCHES = 4  # of as many pictures as there are seeds, by DDIM, where there are no real ones
DESCRIPTION = """Distils pictures of the same prompts from the same seeds by every method, with as many guided model
calls for each, and measures fidelity, diversity and cost. Writes table.md, table.json, pictures_<prompt>.png and
diversity.png. What is finished is kept in results.jsonl and pictures, so that after Ctrl-C the same command goes on."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "distillation-2d",
        help="score distillation on images: fidelity, diversity and cost of every method",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add_prior_options(parser)
    add("--clip", type=Path, metavar="FOLDER", help="CLIPModel of transformers; without it pixels alone are compared")
    add(
        "--real",
        type=Path,
        metavar="FOLDER",
        help="real pictures to be like: of `psr objects`, or any (default: DDIM's)",
    )
    add("--out", type=Path, default=Path("runs/reproduce/distillation_2d"), help="folder")
    add("--rows", nargs="+", choices=GROUPS, default=("methods",), help="which groups of rows")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="of distillation, and samplers")
    add("--prompts", nargs="+", metavar="TEXT", default=PROMPTS, help="what the pictures should show")
    add(
        "--bandwidths",
        action="store_true",
        help="also bandwidths.png: what MSD draws near a picture of the first prompt",
    )
    add("--seeds", type=int, default=8, help="pictures of each row and prompt, one batch")
    add("--seed", type=int, default=0, help="of the first picture; the others follow")
    add("--calls", type=int, default=200, help="guided predictions of the model, for each picture")
    add("--picture", choices=PICTURES, default="latent", help="what is optimised")
    add("--reach", type=float, help="sum of Adam's rates in a run (default: 3 for latents, 10 for pixels, .2 for mlp)")
    add("--negative", metavar="TEXT", help="what no picture should be, for nfsd (default: words of its paper)")
    add("--size", type=int, help="pixels of a side (default: the prior's own)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes what is not kept yet, measures, and writes the report; 130 when interrupted (what is finished stays)."""
    _check(args)
    from psr_eval.distillation_2d_report import write_report
    from psr_eval.distillation_2d_scores import compare
    from psr_eval.image_files import fitted
    from psr_eval.kept import KeptResults
    from psr_eval.msd_bandwidths import look, write_bandwidths
    from psr_eval.picture_jobs import run_jobs

    setting, notes = _setting(args), []
    space = clip_space(args, setting.prompts)
    jobs = _jobs(args, setting, notes)
    aim, references = _aim(args, setting)
    kept, progress = KeptResults(args.out / "results.jsonl"), Progress("runs")
    try:
        results = run_jobs([*jobs, *(references if space else [])], kept, args.out, progress.count)
        progress.end()
        drawn = (picture for result in results[len(jobs) :] for picture in result.pictures)
        real = fitted(aim, setting.prior.image_shape[1:]) if aim else drawn
        found = compare(
            results[: len(jobs)],
            space,
            real if space else None,
            lambda done, rows, name: progress.say(f"measuring {done}/{rows} rows ({name})"),
        )
        progress.end()
        paths = write_report(found, _told(args, setting, aim, references), notes, args.out)
        if args.bandwidths:
            progress.say("samples of MSD at several bandwidths")
            paths.append(args.out / "bandwidths.png")
            write_bandwidths(look(setting, setting.prompts[0]), setting.prompts[0], paths[-1])
            progress.end()
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was made; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0


def _check(args: argparse.Namespace) -> None:
    check_prompts(args)
    check_least(args, seeds=FEWEST_SEEDS, seed=0, calls=1)
    if args.reach is not None and not 0 < args.reach < math.inf:
        raise ValueError(f"--reach is {args.reach}, expected a number > 0")
    if args.real is not None and args.clip is None:
        raise ValueError("--real is given without --clip, in whose space pictures are compared with real ones")


def _setting(args: argparse.Namespace) -> Setting:
    """The prior, loaded, and what else is shared. Raises ValueError for texts that it does not take."""
    from psr_core.diffusers_folder import modules_sha256
    from psr_eval.distillation_2d import Setting
    from psr_eval.distillation_2d_rows import REACH, UNNATURAL

    prior = text_prior(args, args.size)
    for text in args.prompts:
        prior.prompt(text, 1, args.negative)
    negative = UNNATURAL if args.negative is None else args.negative
    reach = REACH[args.picture] if args.reach is None else args.reach
    same = (args.prompts, args.seeds, args.seed, args.calls, args.picture, negative, reach)
    return Setting(prior, modules_sha256(prior.parts), *same)


def _jobs(args: argparse.Namespace, setting: Setting, notes: list[str]) -> list[Job]:
    """Runs, prompt by prompt; what cannot be run is refused, and NFSD left out with a note where it has no words."""
    from psr_eval.distillation_2d import Job
    from psr_eval.distillation_2d_rows import rows_of

    methods = methods_with_words(args, setting.prior, setting.negative, notes)
    rows = rows_of(args.rows, methods, args.picture)
    if not rows:
        raise ValueError(f"no row of {', '.join(args.rows)} is of {', '.join(args.methods)}; name other --methods")
    progress = Progress("rows")
    for row in rows:
        progress.say(f"counting the calls of {row.name}")
        setting.steps(row)
    progress.end()
    return [Job(setting, row, prompt, args.seed, args.seeds) for prompt in args.prompts for row in rows]


def _aim(args: argparse.Namespace, setting: Setting) -> tuple[list[Path], list[Job]]:
    """What pictures should be like: files of real ones, or runs of DDIM from other noises."""
    from psr_eval.distillation_2d import REFERENCE, REFERENCE_SEED, Job
    from psr_eval.real_pictures import real_pictures

    if args.real is not None:
        return real_pictures(args.real, setting.prompts), []
    starts = [REFERENCE_SEED + args.seeds * batch for batch in range(REFERENCE_BATCHES)]
    return [], [Job(setting, REFERENCE, prompt, start, args.seeds) for prompt in args.prompts for start in starts]


def _told(args: argparse.Namespace, setting: Setting, aim: list[Path], references: list[Job]) -> dict[str, Any]:
    """What decides the figures, as plain values."""
    from psr_core.files import git_revision
    from psr_eval.environment import environment

    _, height, width = setting.prior.image_shape
    names = ("seeds", "seed", "calls", "picture", "rows", "device", "dtype")
    if args.real is None:
        aimed = f"{len(references) * args.seeds} pictures that DDIM made from other noises"
    else:
        aimed = f"{len(aim)} real pictures of {args.real}"
    return {
        **{name: getattr(args, name) for name in names},
        "prior": str(args.prior),
        "prior_sha256": setting.weights,
        "size": f"{width} x {height} pixels",
        "reach": setting.reach,
        "prompt_texts": list(setting.prompts),
        "negative": setting.negative,
        "space": "a CLIP (not measured: no --clip)" if args.clip is None else str(args.clip),
        "aim": aimed,
        "made_with": {"git_revision": git_revision(), **environment()},
    }

"""`psr reproduce mesh`: every method of score distillation side by side on objects."""

from __future__ import annotations

import argparse
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
    from psr_eval.distillation_2d import Job as Reference
    from psr_eval.mesh_runs import Job, Setting

GROUPS = ("methods", "views")
METHODS = ("sds", "asd", "sdi", "consistent3d", "vsd", "hifa", "esd", "nfsd", "dsd", "msd")
PROMPTS = ("a mug", "a wooden chair", "a red teapot")
FEWEST_SEEDS = 2
REFERENCES = 2  # DDIM's pictures of each view of a prompt, where there are no real ones
DESCRIPTION = """Distils objects of the same prompts from the same seeds by every method, with as many guided model
calls for each, and measures fidelity, diversity, repeated fronts and cost. Writes table.md, table.json and
objects_<prompt>.png. What is finished is kept in results.jsonl, pictures and volumes, so that after Ctrl-C the same
command goes on."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "mesh",
        help="score distillation of objects: fidelity, diversity and cost of every method",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add_prior_options(parser)
    add("--clip", type=Path, metavar="FOLDER", help="CLIPModel of transformers; without it pixels alone are compared")
    add("--real", type=Path, metavar="FOLDER", help="real pictures: of `psr objects`, or any (default: DDIM's)")
    add("--out", type=Path, default=Path("runs/reproduce/mesh"), help="folder")
    add("--rows", nargs="+", choices=GROUPS, default=GROUPS, help="which groups of rows")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="of distillation")
    add("--prompts", nargs="+", metavar="TEXT", default=PROMPTS, help="what the objects should be")
    add("--seeds", type=int, default=2, help="objects of each row and prompt")
    add("--seed", type=int, default=0, help="of the first object; the others follow")
    add("--preset", choices=("quick", "default"), default="quick", help="settings of `psr mesh`, but for iterations")
    add("--calls", type=int, help="guided predictions of the model, for each object (default: DSD's in the preset)")
    add("--negative", metavar="TEXT", help="what no picture should be, for nfsd (default: words of its paper)")
    add("--meshes", action="store_true", help="also make meshes of all objects, and drop them onto a floor")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes what is not kept yet, measures, and writes the report; 130 when interrupted (what is finished stays)."""
    check_prompts(args)
    check_least(args, seeds=FEWEST_SEEDS, seed=0)
    from psr_core.image_folder import INDEX
    from psr_eval.fronts import front_rules
    from psr_eval.image_files import fitted
    from psr_eval.kept import KeptResults
    from psr_eval.mesh_report import write_report
    from psr_eval.mesh_runs import build_meshes
    from psr_eval.mesh_scores import compare
    from psr_eval.picture_jobs import run_jobs

    notes: list[str] = []
    line = Progress("objects")
    setting = _setting(args, line)
    space = clip_space(args, setting.prompts)
    jobs = _jobs(args, setting, notes)
    aim, references = _aim(args, setting) if space else ([], [])
    rules = front_rules(args.real, setting.prompts) if args.real and (args.real / INDEX).is_file() else {}
    kept = KeptResults(args.out / "results.jsonl")
    try:
        drawn = run_jobs(references, kept, args.out, Progress("pictures by DDIM").count)
        results = run_jobs(jobs, kept, args.out, line.count)
        meshes = build_meshes(results, kept, args.out, Progress("meshes").count) if args.meshes else []
        line.end()
        ddim = (picture for result in drawn for picture in result.pictures)
        real = fitted(aim, setting.prior.image_shape[1:]) if aim else ddim
        found = compare(
            results,
            space,
            real if space else None,
            rules,
            meshes,
            lambda done, rows, name: line.say(f"measuring {done}/{rows} rows ({name})"),
        )
        line.end()
        told = _told(args, setting, f"{len(aim)} real views of {args.real}" if aim else "DDIM's pictures of such views")
        paths = write_report(found, rules, told, notes, args.out)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was made; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0


def _setting(args: argparse.Namespace, line: Progress) -> Setting:
    """The prior, loaded, and what else is shared. Raises ValueError for texts that it does not take."""
    from psr_core.diffusers_folder import modules_sha256
    from psr_eval.distillation_2d_rows import UNNATURAL
    from psr_eval.mesh_rows import preset_calls
    from psr_eval.mesh_runs import Setting

    prior = text_prior(args)
    for text in args.prompts:
        prior.prompt(text, 1, args.negative)
    negative = UNNATURAL if args.negative is None else args.negative
    if args.calls is None:
        args.calls = preset_calls(prior, args.preset, args.prompts[0])
    check_least(args, calls=1)
    same = (args.preset, args.prompts, args.calls, negative)
    return Setting(prior, modules_sha256(prior.parts), *same, lambda done, steps: line.say(f"iteration {done}/{steps}"))


def _jobs(args: argparse.Namespace, setting: Setting, notes: list[str]) -> list[Job]:
    """All objects, seed by seed and prompt by prompt; what cannot be run is refused."""
    from psr_eval.mesh_rows import rows_of
    from psr_eval.mesh_runs import Job

    rows = rows_of(args.rows, methods_with_words(args, setting.prior, setting.negative, notes))
    if not rows:
        raise ValueError(f"no row of {', '.join(args.rows)} is of {', '.join(args.methods)}; name other --methods")
    progress = Progress("rows")
    for row in rows:
        progress.say(f"counting the calls of {row.name}")
        setting.steps(row)
    progress.end()
    seeds = range(args.seed, args.seed + args.seeds)
    return [Job(setting, row, prompt, seed) for prompt in setting.prompts for row in rows for seed in seeds]


def _aim(args: argparse.Namespace, setting: Setting) -> tuple[list[Path], list[Reference]]:
    """What views should be like: files of real pictures, or runs of DDIM; each view as often as objects have it."""
    from psr_eval.distillation_2d import REFERENCE, REFERENCE_SEED, Job
    from psr_eval.distillation_2d import Setting as Pictures
    from psr_eval.mesh_runs import VIEWS
    from psr_eval.real_pictures import real_pictures

    texts = [f"{prompt}, {view} view" for prompt in setting.prompts for view in VIEWS]
    if args.real is not None:
        return real_pictures(args.real, texts), []
    each = {text: REFERENCES * texts.count(text) for text in texts}
    shared = Pictures(setting.prior, setting.weights, setting.prompts, 1, 0, 0, "latent", "", 0.0)
    return [], [Job(shared, REFERENCE, text, REFERENCE_SEED, number) for text, number in each.items()]


def _told(args: argparse.Namespace, setting: Setting, aim: str) -> dict[str, Any]:
    """What decides the figures, as plain values."""
    from psr_core.files import git_revision
    from psr_eval.environment import environment

    _, height, width = setting.prior.image_shape
    names = ("seed", "calls", "preset", "rows", "device", "dtype")
    return {
        **{name: getattr(args, name) for name in names},
        "prior": str(args.prior),
        "prior_sha256": setting.weights,
        "size": f"{width} x {height} pixels",
        "prompt_texts": list(setting.prompts),
        "negative": setting.negative,
        "space": "a CLIP (not measured: no --clip)" if args.clip is None else str(args.clip),
        "aim": aim,
        "made_with": {"git_revision": git_revision(), **environment()},
    }

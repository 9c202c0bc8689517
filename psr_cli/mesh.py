"""`psr mesh`: an object for the simulator from a prompt, by score distillation of a volume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from psr_cli.distill2d import DTYPES, METHODS, option
from psr_cli.picture_comparison import quiet_libraries
from psr_cli.progress import Progress, duration
from psr_core.steering import Steering


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "mesh",
        help="an object for the simulator from a prompt",
        description="Distil an object from an image prior, and make it an asset of a catalogue: mesh, texture, convex "
        "hulls, MJCF, thumbnail and a turntable video; it is dropped onto a floor in the simulator. The folder --out "
        "holds the run, with preview.png. Ctrl-C saves and stops; the same command with --resume continues, and ends "
        "with the same object.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", help="what the object should be")
    add("--preset", choices=("quick", "default"), default="default", help="how much work; other options override it")
    add("--seed", type=int, default=0, help="another seed, another object")
    add("--prior", default="models/prior", help="folder of a pipeline of diffusers, or a hub id (owner/name)")
    add("--catalogue", type=Path, default=Path("runs/catalogue"), help="folder that the asset goes to")
    add("--name", help="of the asset (default: from prompt and seed)")
    add("--out", type=Path, help="folder of the run (default: runs/mesh/NAME)")
    add("--resume", action="store_true", help="continue the run in --out, if there is one")
    add("--image", help="a picture of the object's front, for a prior of Zero-1-to-3's kind")
    add("--image-elevation", type=float, help="degrees that --image was taken from (default: 15)")
    add("--method", choices=METHODS, help="of distillation (default: dsd)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method, such as grid=20")
    add("--published", action="store_true", help="the options of the method's released code, before those of --set")
    add("--steps", type=int, help="iterations (default: the preset's)")
    add("--views", type=int, help="rendered in an iteration (default: the preset's)")
    add("--guidance", type=float, help="eps_uncond + g (eps_cond - eps_uncond) (default: the preset's)")
    add("--lr", type=float, help="learning rate of Adam (default: the preset's)")
    add("--negative", help="takes the place of the empty text in guidance; for nfsd what no picture should be")
    add("--view-prompts", choices=("perp_neg", "words", "none"), help="how the view is said (default: the preset's)")
    add("--k", type=float, default=1.0, help="steering of the prior: > 1 sharper, < 1 flatter")
    add("--sigma", type=float, default=1.0, help="steering: assumed spread of a mode, in the prior's latents")
    add("--steering-method", choices=("psr", "nes", "none"), default="psr", help="how k acts")
    add("--longest-side", type=float, default=0.07, help="of the object, in m")
    add("--faces", type=int, default=4000, help="of the mesh, at most")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number>")
    add("--dtype", choices=DTYPES, default="float32", help="of the prior's networks")
    add("--preview-seconds", type=float, default=10.0, help="seconds between two previews")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Builds; 0 when the object is listed, 130 when it was stopped and can be resumed."""
    import torch

    from psr_cli.stop_request import StopRequest
    from psr_core.distillation.prior_folder import NOVEL_VIEW, open_prior
    from psr_mesh.asset import AssetOptions
    from psr_mesh.builder import Stopped, build_mesh, object_name
    from psr_mesh.surface import SurfaceOptions

    settings, asset = _settings(args), AssetOptions(longest_side=args.longest_side)
    surface = SurfaceOptions(faces=args.faces)
    quiet_libraries()
    if args.dtype == "float16" and args.device == "cpu":
        raise ValueError("dtype is float16 and device is cpu, where it is slow and overflows; use float32 or bfloat16")
    folder = open_prior(args.prior)
    empty = {} if folder.kind == NOVEL_VIEW else {"empty": settings.empty}
    prior = folder.load(args.device, getattr(torch, args.dtype), **empty)
    name = args.name or object_name(args.prompt, args.seed)
    work, line, stop = args.out or Path("runs/mesh") / name, Progress("iterations"), StopRequest()

    def show(progress: Any) -> None:
        left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
        line.say(f"{progress.stage}: {progress.step}/{progress.steps}{left}")

    try:
        entry = build_mesh(
            settings,
            prior,
            work,
            args.catalogue,
            name,
            resume=args.resume,
            should_stop=stop.requested,
            progress=show,
            preview_every=args.preview_seconds,
            surface=surface,
            asset=asset,
        )
    except Stopped as stopped:
        line.end()
        print(f"{stopped}; the same command with --resume continues")
        return 130
    line.end()
    return _dropped(args.catalogue, name, entry.thumbnail)


def _dropped(catalogue: Path, name: str, thumbnail: str) -> int:
    """Drops the asset, lists how it fell, and says what it is."""
    from psr_mesh.catalogue import add_asset
    from sim.drop_test import drop_test

    dropped = drop_test(catalogue / name / "object.xml")
    results = {"drop_test": {**vars(dropped), "problems": list(dropped.problems)}}
    entry = add_asset(catalogue, name, thumbnail, results)
    verdict = "lies still" if dropped.passed else "; ".join(dropped.problems)
    made, surface = entry.made, entry.statistics["surface"]
    print(
        f"saved {catalogue / name}: {surface['faces']} faces, {entry.statistics['hulls']} hulls, "
        f"{1000 * entry.statistics['mass_kg']:.0f} g; dropped: {verdict}; {duration(made['seconds'])}, "
        f"{made['model_calls']['guided']} guided predictions, {made['peak_memory_mb']} MB"
    )
    return 0


def _settings(args: argparse.Namespace) -> Any:
    from psr_mesh.settings import preset_settings

    same = ("image", "image_elevation", "method", "steps", "views", "guidance", "lr", "negative", "view_prompts")
    given = {name: value for name in same if (value := getattr(args, name)) is not None}
    if args.set:
        given["options"] = dict(map(option, args.set))
    return preset_settings(
        args.preset,
        args.prompt,
        seed=args.seed,
        published=args.published,
        steering=Steering(args.k, args.sigma, args.steering_method),
        **given,
    )

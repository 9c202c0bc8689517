"""`psr distill2d`: pictures of a prompt by score distillation, any method, several seeds side by side."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from psr_cli.progress import Progress
from psr_core.steering import Steering

METHODS = ("sds", "asd", "sdi", "consistent3d", "vsd", "esd", "hifa", "nfsd", "dsd", "msd")
DTYPES = ("float32", "float16", "bfloat16")


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "distill2d",
        help="pictures of a prompt by score distillation",
        description="Distil pictures from a Stable Diffusion folder: OUT/grid.png has the seeds side by side and is "
        "renewed while it runs, OUT/seed_N.png each of them, OUT/card.json settings, model calls and time. Ctrl-C "
        "saves and stops; the same command with --resume continues, and ends as if it had not been stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", help="what the pictures should show")
    add(
        "--prior",
        default="models/prior",
        help="folder of a Stable Diffusion pipeline of diffusers, or a hub id (owner/name)",
    )
    add("--out", type=Path, default=Path("runs/distill2d"), help="folder")
    add("--resume", action="store_true", help="continue the run in --out, if there is one")
    add("--method", choices=METHODS, default="dsd", help="of distillation")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method, such as kappa=fixed")
    add("--published", action="store_true", help="the options of the method's released code, before those of --set")
    add("--picture", choices=("latent", "pixels", "mlp"), default="latent", help="what is optimised")
    add("--steps", type=int, default=500, help="iterations")
    add("--seeds", type=int, default=4, help="how many pictures")
    add("--seed", type=int, default=0, help="of the first picture; the others follow")
    add("--guidance", type=float, help="eps_uncond + g (eps_cond - eps_uncond) (default: the method's released code's)")
    add("--lr", type=float, help="learning rate of Adam (default: by --picture; DSD on latents descends as DDIM does)")
    add("--negative", help="takes the place of the empty text in guidance; for nfsd what no picture should be")
    add("--perpendicular", action="append", default=[], metavar="TEXT", help="to move away from, as Perp-Neg does")
    add("--perpendicular-weight", type=float, default=-1.0, help="of each --perpendicular")
    add("--k", type=float, default=1.0, help="steering of the prior: > 1 sharper, < 1 flatter")
    add("--sigma", type=float, default=1.0, help="steering: assumed spread of a mode, in the prior's latents")
    add("--steering-method", choices=("psr", "nes", "none"), default="psr", help="how k acts")
    add("--size", type=int, help="pixels of a side (default: the prior's own)")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number>")
    add("--dtype", choices=DTYPES, default="float32", help="of the prior's networks")
    add("--save-seconds", type=float, default=60.0, help="seconds between two saves, with a new grid.png")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Distils; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    settings = _settings(args)
    import diffusers
    import torch
    import transformers

    from psr_cli.stop_request import StopRequest
    from psr_core.diffusers_folder import modules_sha256
    from psr_core.distillation.picture_training import PictureTrainer
    from psr_core.distillation.prior_folder import TEXT, open_prior
    from psr_core.files import git_revision
    from psr_core.training_run import TrainingRun
    from psr_eval.environment import environment
    from psr_eval.pictures import write_pictures

    for library in (diffusers, transformers):  # their bars of a second or two would only hide ours
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    if args.dtype == "float16" and args.device == "cpu":
        raise ValueError("dtype is float16 and device is cpu, where it is slow and overflows; use float32 or bfloat16")
    folder = open_prior(args.prior)
    if folder.kind != TEXT:
        raise ValueError(f"prior {args.prior} is a {folder.kind} model, expected a {TEXT} one: Stable Diffusion")
    prior: Any = folder.load(args.device, getattr(torch, args.dtype), args.size, empty=settings.empty)
    trainer = PictureTrainer(settings, prior, {"shape": list(prior.shape), "dtype": args.dtype})
    made_with = {"prior": args.prior, "device": args.device, "git_revision": git_revision(), **environment()}
    card = {
        "command": shlex.join(["psr", *sys.argv[1:]]),
        "data": {"weights_sha256": modules_sha256(prior.parts)},
        "made_with": made_with,
    }

    def keep(out: Path, card: dict[str, Any]) -> None:
        write_pictures(out, trainer.images(), settings.seed, {**card, "model_calls": trainer.calls()})

    training = TrainingRun(trainer, args.out, card, keep, resume=args.resume)
    stop, progress = StopRequest(), Progress("iterations")
    ended = training.train(
        should_stop=lambda: stop.requested() or trainer.finished,
        report=progress.say,
        save_seconds=args.save_seconds,
        log_every=max(1, settings.steps // 500),
    )
    progress.end()
    if not ended and not trainer.finished:
        print("stopped and saved; the same command with --resume continues")
        return 130
    calls = trainer.calls()
    print(
        f"saved {args.out / 'grid.png'}: {trainer.step} iterations, {calls['guided_each']:.2f} guided predictions each"
    )
    return 0


def _settings(args: argparse.Namespace) -> Any:
    from psr_core.distillation.picture_training import PictureSettings

    same = ("prompt", "method", "published", "picture", "steps", "seed", "seeds", "guidance", "lr", "negative")
    return PictureSettings(
        options=dict(map(option, args.set)),
        perpendicular=tuple(args.perpendicular),
        perpendicular_weight=args.perpendicular_weight,
        steering=Steering(args.k, args.sigma, args.steering_method),
        **{name: getattr(args, name) for name in same},
    )


def option(text: str) -> tuple[str, Any]:
    """Name and value of NAME=VALUE; what is no JSON is taken as text. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--set {text}: expected NAME=VALUE, such as kappa=fixed")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value

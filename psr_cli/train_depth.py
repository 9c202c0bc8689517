"""`psr train depth`: a small Marigold from a folder of RGB-D images."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any


def add_parser(subjects: Any) -> None:
    """Adds the subject."""
    depth = subjects.add_parser(
        "depth",
        help="a small Marigold depth model from a folder of RGB-D images",
        description="Train a depth model of Marigold's form from the folder that `psr render` writes: the autoencoder "
        "first, then the denoiser. OUT/pipeline is what the depth node and diffusers load. Ctrl-C saves and stops; the "
        "same command with --resume continues.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    depth.add_argument("--data", type=Path, required=True, help="folder of RGB-D images; its training split is used")
    depth.add_argument("--out", type=Path, required=True, help="folder for the model, the trainings' states and logs")
    depth.add_argument("--resume", action="store_true", help="continue the run in --out, if there is one")
    depth.add_argument("--resolution", type=int, default=128, help="pixels of the images' longer side")
    depth.add_argument("--autoencoder-channels", type=_integers, default=(32, 48, 64), help="of each level")
    depth.add_argument("--autoencoder-steps", type=int, default=6000, help="optimiser steps of the autoencoder")
    depth.add_argument("--autoencoder-batch-size", type=int, default=16, help="crops it learns from in a step")
    depth.add_argument("--crop", type=int, default=96, help="side in pixels of the squares the autoencoder learns from")
    depth.add_argument("--unet-channels", type=_integers, default=(32, 64, 128), help="of each level")
    depth.add_argument("--unet-layers", type=int, default=1, help="residual blocks of a level")
    depth.add_argument("--steps", type=int, default=20000, help="optimiser steps of the denoiser")
    depth.add_argument("--batch-size", type=int, default=16, help="images the denoiser learns from in a step")
    depth.add_argument("--lr", type=float, default=5e-4, help="learning rate after the warm-up")
    depth.add_argument("--warmup-steps", type=int, default=300)
    depth.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="of the arithmetic while learning; auto is bfloat16 where the device computes in it",
    )
    depth.add_argument("--seed", type=int, default=0)
    depth.add_argument("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    depth.add_argument("--save-seconds", type=float, default=300.0, help="seconds between two saves")
    depth.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_cli.stop_request import StopRequest
    from psr_core.devices import precision_on, torch_device
    from psr_core.files import git_revision
    from psr_core.training_run import TrainingRun
    from psr_perception.depth.autoencoder_training import AutoencoderSettings
    from psr_perception.depth.model_training import PIPELINE, DepthModelTraining
    from psr_perception.depth.training_settings import DepthTrainSettings

    device = torch_device(args.device)
    common = {name: getattr(args, name) for name in ("lr", "warmup_steps", "seed")}
    common["precision"] = precision_on(device, args.precision)
    settings = (
        AutoencoderSettings(
            steps=args.autoencoder_steps, batch_size=args.autoencoder_batch_size, crop=args.crop, **common
        ),
        DepthTrainSettings(steps=args.steps, batch_size=args.batch_size, **common),
    )
    training = DepthModelTraining(
        args.data,
        args.out,
        {"command": shlex.join(["psr", *sys.argv[1:]]), "git_revision": git_revision()},
        resolution=args.resolution,
        autoencoder_channels=args.autoencoder_channels,
        unet_channels=args.unet_channels,
        unet_layers=args.unet_layers,
        device=device,
        resume=args.resume,
    )
    print(f"{len(training.images)} images to train on, {len(training.judged)} held out", flush=True)
    stop = StopRequest()

    def train(part: TrainingRun) -> bool:
        return part.train(
            should_stop=stop.requested,
            report=lambda line: print(f"{part.out.name}: {line}", flush=True),
            save_seconds=args.save_seconds,
        )

    if not training.train(*settings, train):
        print("stopped and saved; the same command with --resume continues")
        return 130
    print(f"saved {args.out / PIPELINE}")
    return 0


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))

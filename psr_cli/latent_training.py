"""What the trainings of latent diffusion models have in common: options, two sets of settings, and the run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from psr_cli.training_command import add_precision_option

if TYPE_CHECKING:
    from psr_core.latent_model_training import LatentModelTraining


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options of the autoencoder's and the denoiser's training."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the model, the trainings' states and logs")
    add("--resume", action="store_true", help="continue the run in --out, if there is one")
    add("--autoencoder-channels", type=integers, default=(16, 32, 64), help="of each level")
    add("--autoencoder-batch-size", type=int, default=16, help="crops it learns from in a step")
    add("--autoencoder-steps", type=int, default=6000, help="optimiser steps of the autoencoder")
    add("--crop", type=int, default=64, help="side in pixels of the squares the autoencoder learns from")
    add("--unet-layers", type=int, default=1, help="residual blocks of a level")
    add("--steps", type=int, default=20000, help="optimiser steps of the denoiser")
    add("--batch-size", type=int, default=16, help="images the denoiser learns from in a step")
    add("--lr", type=float, default=5e-4, help="learning rate of the denoiser after the warm-up")
    add("--autoencoder-lr", type=float, default=5e-4, help="... of the autoencoder, which learns worse with 1.5e-3")
    add("--warmup-steps", type=int, default=300)
    add_precision_option(parser)
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    add("--save-seconds", type=float, default=300.0, help="seconds between two saves")


def train_model(args: argparse.Namespace, training: LatentModelTraining) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_cli.stop_request import StopRequest
    from psr_core.devices import precision_on, torch_device
    from psr_core.latent_model_training import PIPELINE
    from psr_core.latent_training import AutoencoderSettings, LatentTrainSettings
    from psr_core.training_run import TrainingRun

    common = {name: getattr(args, name) for name in ("warmup_steps", "seed")}
    common["precision"] = precision_on(torch_device(args.device), args.precision)
    settings = (
        AutoencoderSettings(
            steps=args.autoencoder_steps,
            batch_size=args.autoencoder_batch_size,
            lr=args.autoencoder_lr,
            crop=args.crop,
            **common,
        ),
        LatentTrainSettings(steps=args.steps, batch_size=args.batch_size, lr=args.lr, **common),
    )
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


def integers(text: str) -> tuple[int, ...]:
    """Of "64,96,128"."""
    return tuple(int(part) for part in text.split(","))

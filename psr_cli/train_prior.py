"""`psr train prior`: a small Stable Diffusion from a folder of pictures of objects."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from psr_cli.latent_training import add_training_options, integers, train_model
from psr_cli.training_command import card_so_far


def add_parser(subjects: Any) -> None:
    """Adds the subject."""
    prior = subjects.add_parser(
        "prior",
        help="a small text-to-image prior from a folder of pictures of objects",
        description="Train a model of Stable Diffusion's form from the folder that `psr objects` writes: the "
        "autoencoder first, then the denoiser with its text encoder. OUT/pipeline is what `psr distill2d --prior` and "
        "diffusers load. Ctrl-C saves and stops; the same command with --resume continues.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    prior.add_argument("--data", type=Path, required=True, help="folder of pictures; some of its test split judge")
    prior.add_argument("--unet-channels", type=integers, default=(64, 96, 160), help="of each level")
    prior.add_argument("--text-width", type=int, default=128, help="of the text encoder, a multiple of 4")
    prior.add_argument("--text-layers", type=int, default=2, help="of the text encoder")
    add_training_options(prior)
    prior.set_defaults(run=run, steps=60000, batch_size=32)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_core.devices import torch_device
    from psr_core.object_prior.training import PriorShape, PriorTraining

    shape = PriorShape(
        **{
            name: getattr(args, name)
            for name in ("autoencoder_channels", "unet_channels", "unet_layers", "text_width", "text_layers")
        }
    )
    training = PriorTraining(
        args.data, args.out, card_so_far(), shape, device=torch_device(args.device), resume=args.resume
    )
    print(f"{len(training.images)} pictures to train on, {len(training.judged)} held out", flush=True)
    return train_model(args, training)

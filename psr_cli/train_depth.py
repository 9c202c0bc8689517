"""`psr train depth`: a small Marigold from a folder of RGB-D images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from psr_cli.latent_training import add_training_options, integers, train_model
from psr_cli.training_command import card_so_far


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
    depth.add_argument("--resolution", type=int, default=128, help="pixels of the images' longer side")
    depth.add_argument("--unet-channels", type=integers, default=(32, 64, 128), help="of each level")
    add_training_options(depth)
    depth.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_core.devices import torch_device
    from psr_perception.depth.model_training import DepthModelTraining

    training = DepthModelTraining(
        args.data,
        args.out,
        card_so_far(),
        resolution=args.resolution,
        autoencoder_channels=args.autoencoder_channels,
        unet_channels=args.unet_channels,
        unet_layers=args.unet_layers,
        device=torch_device(args.device),
        resume=args.resume,
    )
    print(f"{len(training.images)} images to train on, {len(training.judged)} held out", flush=True)
    return train_model(args, training)

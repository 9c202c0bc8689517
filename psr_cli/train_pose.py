"""`psr train pose`: an SO(3) diffusion network from solids that are rendered as it learns, or from SYMSOL."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.training_command import add_precision_option, card_so_far, run_to_end

if TYPE_CHECKING:
    from psr_eval.pose_images import SolidImages
    from psr_perception.pose.network import PoseConfig
    from psr_perception.pose.training import Pictures

SHAPES = ("tetrahedron", "cube", "icosahedron", "cone", "cylinder")  # psr_perception.pose.solids.SOLIDS
JUDGED, JUDGED_FROM = 100, 10**9  # images that the samples are judged by; rendered: none of `psr reproduce pose`


def add_parser(subjects: Any) -> None:
    """Adds the subject."""
    pose = subjects.add_parser(
        "pose",
        help="a rotation diffusion network from rendered symmetric solids",
        description="Train a network for the rotation of SYMSOL's solids from pictures that are rendered as they are "
        "needed, never the same twice, or from the data set's own. OUT is what `psr reproduce pose` loads. Whenever it "
        "saves it tells how far samples are from the truth. Ctrl-C saves and stops; the same command with --resume "
        "continues, and ends with the weights an uninterrupted run ends with (bit for bit on a CPU with the same "
        "--threads).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    pose.add_argument("--out", type=Path, required=True, help="folder for the network, its training state and log")
    pose.add_argument("--resume", action="store_true", help="continue the run in --out, if there is one")
    pose.add_argument("--shapes", type=_names, default=SHAPES, help="solids, one network for all")
    pose.add_argument(
        "--network",
        choices=("embedded", "reference"),
        default="embedded",
        help="for a processor, or the reference's size (ResNet34, 224 pixels) for a GPU",
    )
    pose.add_argument("--resolution", type=int, default=None, help="pixels of a side (default: the network's own)")
    pose.add_argument("--channels", type=_integers, default=None, help="encoder: of each stage (default: its own)")
    pose.add_argument("--blocks", type=_integers, default=None, help="encoder: of each stage (default: its own)")
    pose.add_argument("--features", type=int, default=None, help="numbers an image becomes (default: its own)")
    pose.add_argument("--hidden", type=int, default=None, help="width of the head (default: its own)")
    pose.add_argument(
        "--symsol",
        type=Path,
        default=None,
        help="learn from the training images of symsol_dataset.zip, unpacked here, and judge by its test images",
    )
    pose.add_argument(
        "--varied", type=float, default=0.5, help="share of rendered pictures with other lights and backgrounds"
    )
    pose.add_argument("--steps", type=int, default=100_000, help="optimiser steps in all")
    pose.add_argument("--batch-size", type=int, default=16, help="images a step")
    pose.add_argument("--noises", type=int, default=256, help="noised rotations of each image")
    pose.add_argument("--lr", type=float, default=3e-4, help="learning rate after the warm-up")
    pose.add_argument("--warmup-steps", type=int, default=500)
    add_precision_option(pose)
    pose.add_argument("--seed", type=int, default=0)
    pose.add_argument("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    pose.add_argument("--threads", type=int, default=None, help="torch threads (default: torch's own)")
    pose.add_argument("--save-seconds", type=float, default=300.0, help="seconds between two saves")
    pose.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    import torch

    from psr_core.devices import precision_on, set_threads, torch_device
    from psr_core.training_run import TrainingRun
    from psr_eval.pose_samples import mean_error
    from psr_perception.pose.checkpoint import load_pose_network, save_pose_network
    from psr_perception.pose.training import PoseTrainer, PoseTrainSettings

    set_threads(args.threads)
    config = _config(args)
    pictures, valid, judged = (_rendered if args.symsol is None else _symsol)(args, config.image_size)
    same = ("steps", "batch_size", "noises", "lr", "warmup_steps", "seed")
    device = torch_device(args.device)
    precision = precision_on(device, args.precision)
    settings = PoseTrainSettings(precision=precision, **{name: getattr(args, name) for name in same})
    trainer = PoseTrainer(config, settings, pictures, valid, device)
    parameters = sum(p.numel() for p in trainer.network.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, {', '.join(args.shapes)} at {config.image_size} pixels", flush=True)

    def keep(out: Path, card: dict[str, Any]) -> None:
        error = mean_error(trainer.averaged, judged)
        print(f"saved at step {trainer.step}; samples are {error:.2f} degrees off (mean, {JUDGED} images)", flush=True)
        metrics = {**card["metrics"], "sampling_error_degrees": round(error, 4)}
        save_pose_network(out, trainer.averaged, {**card, "metrics": metrics}, torch.float16)

    source = {"rendered": "psr_perception.pose.raycaster"} if args.symsol is None else {}
    card = {**card_so_far(), "data": {**pictures.identity, **source}}
    training = TrainingRun(trainer, args.out, card, keep, resume=args.resume)
    if not run_to_end(training, args.save_seconds):
        return 130
    print(f"saved {load_pose_network(args.out)[1]} in {args.out}")
    return 0


def _rendered(args: argparse.Namespace, size: int) -> tuple[Pictures, Pictures, SolidImages]:
    """Pictures to learn from and for the loss, images to judge samples by."""
    from psr_cli.graph import suite_root
    from psr_eval.pose_images import RenderedImages
    from psr_perception.pose.training import RenderedSolids

    judged = RenderedImages(args.shapes, JUDGED, suite_root() / "config" / "symmetries", first=JUDGED_FROM)
    pictures = RenderedSolids(args.shapes, size, varied=args.varied)
    return pictures, pictures, judged


def _symsol(args: argparse.Namespace, size: int) -> tuple[Pictures, Pictures, SolidImages]:
    """The same from a copy of the data set."""
    from psr_cli.graph import suite_root
    from psr_eval.pose_images import SymsolImages, check_shapes
    from psr_perception.pose.symsol_folder import open_symsol_folder
    from psr_perception.pose.training import SymsolPictures

    check_shapes(args.shapes)
    train, test = (open_symsol_folder(args.symsol, split, args.shapes) for split in ("train", "test"))
    judged = SymsolImages(test, args.shapes, min(JUDGED, len(test)), suite_root() / "config" / "symmetries")
    return SymsolPictures(train, size), SymsolPictures(test, size), judged


def _config(args: argparse.Namespace) -> PoseConfig:
    from psr_perception.pose.network import REFERENCE, PoseConfig

    given = {"image_size": args.resolution, "channels": args.channels, "blocks": args.blocks}
    given |= {"features": args.features, "hidden": args.hidden}
    base = REFERENCE if args.network == "reference" else PoseConfig()
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))

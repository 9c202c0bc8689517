"""`psr train judge`: a small CLIP from a folder of pictures of objects, to measure by what an image prior draws."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from psr_cli.training_command import add_precision_option, card_so_far, run_to_end


def add_parser(subjects: Any) -> None:
    """Adds the subject."""
    judge = subjects.add_parser(
        "judge",
        help="a small CLIP from a folder of pictures of objects, to judge what a prior draws",
        description="Train a CLIP from the folder that `psr objects` writes: which texts are true of a picture, and "
        "which are not. OUT/clip is what `psr reproduce image --clip` and transformers load; whenever it saves it "
        "tells how often it names what held-out pictures show. Ctrl-C saves and stops; the same command with --resume "
        "continues.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = judge.add_argument
    add("--data", type=Path, required=True, help="folder of pictures; its test split judges")
    add("--out", type=Path, required=True, help="folder for the model, its training state and log")
    add("--resume", action="store_true", help="continue the run in --out, if there is one")
    add("--patches", type=int, default=8, help="along a side of a picture")
    add("--width", type=int, default=128, help="of the image encoder, a multiple of 4")
    add("--layers", type=int, default=4, help="of the image encoder")
    add("--text-width", type=int, default=128, help="of the text encoder, a multiple of 4")
    add("--text-layers", type=int, default=2, help="of the text encoder")
    add("--features", type=int, default=128, help="numbers that a picture or a text becomes")
    add("--steps", type=int, default=3000, help="optimiser steps in all")
    add("--batch-size", type=int, default=64, help="pictures a step, each told from the others")
    add("--lr", type=float, default=1e-3, help="learning rate after the warm-up")
    add("--warmup-steps", type=int, default=100)
    add_precision_option(judge)
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    add("--threads", type=int, default=None, help="torch threads (default: torch's own)")
    add("--save-seconds", type=float, default=300.0, help="seconds between two saves")
    judge.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_core.devices import precision_on, set_threads, torch_device
    from psr_core.files import file_sha256
    from psr_core.image_folder import INDEX
    from psr_core.object_judge.network import JudgeShape
    from psr_core.object_judge.training import CLIP, HELD_OUT, JudgeTrainer, JudgeTrainSettings, save_judge
    from psr_core.object_prior.training_pictures import load_pictures
    from psr_core.small_networks import parameter_count
    from psr_core.training_run import TrainingRun

    set_threads(args.threads)
    device = torch_device(args.device)
    shape = JudgeShape(**{field.name: getattr(args, field.name) for field in fields(JudgeShape)})
    same = ("steps", "batch_size", "lr", "warmup_steps", "seed")
    settings = JudgeTrainSettings(
        precision=precision_on(device, args.precision), **{name: getattr(args, name) for name in same}
    )
    images, judged = load_pictures(args.data, shape.patches, HELD_OUT)
    trainer = JudgeTrainer(shape, settings, images, judged, device)
    millions = parameter_count(trainer.network) / 1e6
    print(f"{millions:.2f} M parameters, {len(images)} pictures to train on, {len(judged)} held out", flush=True)

    def keep(out: Path, card: dict[str, Any]) -> None:
        named = save_judge(trainer, out / CLIP, card)["named"]
        shares = ", ".join(f"{name} {100 * each['share']:.1f} %" for name, each in named.items())
        print(f"saved at step {trainer.step}; of held-out pictures it names {shares}", flush=True)

    data = {"folder": args.data.name, "index_sha256": file_sha256(args.data / INDEX), "images": len(images)}
    card = {**card_so_far(), "data": {**data, "held_out": len(judged)}}
    training = TrainingRun(trainer, args.out, card, keep, resume=args.resume)
    if not run_to_end(training, args.save_seconds):
        return 130
    print(f"saved {args.out / CLIP}")
    return 0

"""`psr reproduce pose`: what steering is worth on a rotation network, in the manner of the thesis' table 1.1."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.progress import Progress
from psr_cli.train_pose import SHAPES

if TYPE_CHECKING:
    from psr_eval.pose_images import SolidImages
    from psr_eval.pose_samples import PoseSampling

DESCRIPTION = """Samples the rotations of the same rendered images from the same noise under every setting, measures
them modulo the objects' symmetry, and says by paired intervals whether PSR beats score sampling, and in how many steps.
Writes table.json, table.md, shapes.md, sweep.png and spheres.png."""
SHOWN = 400  # samples of an image on a sphere


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "pose",
        help="steered rotation sampling: errors, accuracies, steps, (k, σ) (table 1.1, figures 1.5, A.1 and A.5)",
        description=DESCRIPTION,
        epilog="Interrupted: the same command goes on. After a change of the code take another --out.",
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="network of `psr train pose`")
    add("--shapes", nargs="+", default=list(SHAPES), metavar="SHAPE", help="solids (default: SYMSOL's five)")
    add(
        "--symsol",
        type=Path,
        metavar="DIR",
        help="test images of symsol_dataset.zip, unpacked (default: rendered ones)",
    )
    add("--images", type=int, default=5000, metavar="N", help="of all shapes together (default: %(default)s)")
    add("--samples", type=int, default=1, metavar="N", help="of each image (default: 1, as the reference)")
    add("--rows", type=Path, metavar="FILE", help="settings to compare (default: config/reproduce/pose.yaml)")
    add("--batch-size", type=int, default=250, metavar="N", help="images at a time (default: %(default)s)")
    add("--seed", type=int, default=0, help="of initial rotations and noise, the same for every row (default: 0)")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number> (default: cpu)")
    add("--threads", type=int, help="torch threads (default: torch's own)")
    add("--out", type=Path, default=Path("runs/reproduce/pose"), help="folder (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Sample what is missing, compare, write the report; 130 when interrupted (the errors measured stay)."""
    from psr_cli.graph import suite_root
    from psr_core.devices import set_threads
    from psr_eval.pose_comparison import compare
    from psr_eval.pose_figures import spheres
    from psr_eval.pose_report import shown_rows, write_report
    from psr_eval.pose_rows import read_rows
    from psr_eval.pose_samples import measure

    set_threads(args.threads)
    rows = read_rows(args.rows or suite_root() / "config" / "reproduce" / "pose.yaml")
    sampling = _sampling(args)
    data = sampling.data
    progress = Progress("network calls")
    try:
        errors = measure(sampling, rows, args.out / "images.jsonl", progress.count)
        progress.say("comparing the settings")
        comparison = compare(errors, data.shapes)
        progress.say("drawing the pictures")
        numbers = [data.shapes.index(shape) for shape in dict.fromkeys(data.shapes)]
        sample = partial(_sample, sampling)
        drawn = spheres(data, numbers, shown_rows(comparison), sample, sampling.network.config.image_size)
        progress.end()
        files = write_report(comparison, _settings(args, sampling), drawn, args.out)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was measured; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))
    return 0


def _sampling(args: argparse.Namespace) -> PoseSampling:
    from psr_core.devices import torch_device
    from psr_eval.pose_samples import PoseSampling
    from psr_perception.pose.checkpoint import load_pose_network, read_pose_description

    data = _images(args)
    network, _ = load_pose_network(args.checkpoint, torch_device(args.device))
    facts = {"weights_sha256": read_pose_description(args.checkpoint)["card"]["sha256"]}
    return PoseSampling(network, data, args.samples, args.seed, args.batch_size, facts)


def _images(args: argparse.Namespace) -> SolidImages:
    from psr_cli.graph import suite_root
    from psr_eval.pose_images import RenderedImages, SymsolImages, check_shapes
    from psr_perception.pose.symsol_folder import open_symsol_folder

    symmetries = suite_root() / "config" / "symmetries"
    if args.symsol is None:
        return RenderedImages(args.shapes, args.images, symmetries)
    check_shapes(args.shapes)
    folder = open_symsol_folder(args.symsol, "test", tuple(args.shapes))
    return SymsolImages(folder, args.shapes, args.images, symmetries)


def _sample(sampling: PoseSampling, row: Any, number: int) -> Any:
    return sampling.sample(row, [number], sampling.encode([number]), SHOWN)[0].cpu()


def _settings(args: argparse.Namespace, sampling: PoseSampling) -> dict[str, Any]:
    """What decides the figures, as plain values."""
    from psr_core.model_folder import checkpoint_id
    from psr_eval.environment import environment

    checkpoint = checkpoint_id(args.checkpoint, sampling.facts["weights_sha256"])
    return {"checkpoint": checkpoint, **sampling.facts, "images": args.images, "made_with": environment()}

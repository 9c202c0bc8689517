"""`psr reproduce depth`: what steering is worth on a depth model, in the manner of the thesis' table 1.2."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_cli.progress import Progress

if TYPE_CHECKING:
    from psr_eval.depth_estimates import DepthData, DepthRun
    from psr_eval.depth_rows import Row

DESCRIPTION = """Estimates the depth of the same images from the same noise under every setting, measures it as
Marigold's evaluation does, and says by paired intervals whether PSR beats the stock sampler, and whether a small
ensemble with it reaches a large one without. Writes table.json, table.md, heatmap.png and pictures.png."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "depth",
        help="steered depth estimation: AbsRel and δ1, ensembles, (k, σ) (table 1.2, figures 1.6 and A.2)",
        description=DESCRIPTION,
        epilog="Interrupted: the same command goes on. After a change of the code take another --out.",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="DIR", help="Marigold depth pipeline: diffusers folder, or hub id")
    add("--data", type=Path, required=True, metavar="FOLDER", help="RGB-D folder (its test split), or a benchmark's")
    add("--benchmark", metavar="NAME", help="nyuv2, kitti, eth3d, scannet or diode, in the form of Marigold's archives")
    add("--list", type=Path, metavar="FILE", help="the benchmark's list of test images")
    add("--rows", type=Path, metavar="FILE", help="settings to compare (default: config/reproduce/depth.yaml)")
    add("--images", type=int, metavar="N", help="images, evenly spread over the data set (default: all)")
    add("--steps", type=int, help="network calls per ensemble member (default: the checkpoint's)")
    add(
        "--processing-resolution",
        type=int,
        metavar="PIXELS",
        help="longer side that the network sees, 0 the image's own (default: the benchmark's, or the checkpoint's)",
    )
    add("--batch-size", type=int, default=1, metavar="N", help="ensemble members at a time (default: 1)")
    add("--seed", type=int, default=0, help="of the noise, the same for every row (default: 0)")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number> (default: cpu)")
    add("--dtype", default="float32", help="float32, float16 or bfloat16 (default: float32)")
    add("--out", type=Path, default=Path("runs/reproduce/depth"), help="folder (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate what is missing, compare, write the report; 130 when interrupted (the figures measured stay)."""
    from psr_cli.graph import suite_root
    from psr_eval.depth_comparison import compare
    from psr_eval.depth_estimates import evenly_spread, measure, open_data
    from psr_eval.depth_pictures import pictures, shown_numbers, shown_rows
    from psr_eval.depth_report import write_report
    from psr_eval.depth_rows import read_rows

    rows = read_rows(args.rows or suite_root() / "config" / "reproduce" / "depth.yaml")
    data = open_data(args.data, args.benchmark, args.list)
    numbers = evenly_spread(len(data.dataset), args.images)
    depth_run = _depth_run(args, rows, data)
    warnings = _warnings(depth_run, rows)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    progress = Progress("estimates")
    try:
        metrics = measure(depth_run, rows, data, numbers, args.out / "images.jsonl", progress.count)
        comparison = compare(metrics)
        progress.say("drawing the pictures")
        drawn = pictures(data, shown_numbers(numbers), shown_rows(comparison), depth_run.estimate)
        progress.end()
        settings = _settings(args, data, depth_run)
        files = write_report(comparison, settings, drawn, args.out, warnings)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was measured; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))
    return 0


def _depth_run(args: argparse.Namespace, rows: list[Row], data: DepthData) -> DepthRun:
    import diffusers
    import transformers

    from psr_eval.depth_estimates import DepthRun
    from psr_perception.depth.estimator import DepthEstimator
    from psr_perception.depth.loading import load_depth_pipeline

    for library in (diffusers, transformers):  # their bars of a second or two would only hide ours
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    pipeline = load_depth_pipeline(args.checkpoint, args.device, args.dtype)
    given = {"num_inference_steps": args.steps, "seed": args.seed}
    given["processing_resolution"] = (
        data.processing_resolution if args.processing_resolution is None else args.processing_resolution
    )
    settings = replace(
        DepthEstimator(pipeline).default_settings, **{name: v for name, v in given.items() if v is not None}
    )
    return DepthRun(pipeline, rows, settings, args.batch_size)


def _warnings(depth_run: DepthRun, rows: list[Row]) -> list[str]:
    """What a DDIM row's steps do to its steering, each once; the reasons are worked out for deterministic steps."""
    from psr_perception.depth.step_warnings import steering_warnings

    found = [
        warning
        for row in rows
        if row.sampler == "ddim"
        for warning in steering_warnings(depth_run.settings, row.steering, depth_run.scheduler(row))
    ]
    return list(dict.fromkeys(found))


def _settings(args: argparse.Namespace, data: DepthData, depth_run: DepthRun) -> dict[str, Any]:
    """What decides the figures, as plain values."""
    from psr_eval.environment import environment

    return {
        "checkpoint": str(args.checkpoint),
        "data": data.name,
        "data_sha256": data.sha256,
        "images_there": len(data.dataset),
        "images": args.images,
        "alignment_max_res": data.alignment_max_res,
        **depth_run.facts(),
        "made_with": environment(),
    }

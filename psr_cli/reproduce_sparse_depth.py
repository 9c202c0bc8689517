"""`psr reproduce sparse-depth`: what a depth map adds to sparse depth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from psr_cli.progress import Progress


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "sparse-depth",
        help="metric depth by a map and a few sparse points, against interpolating these points",
        description="Draws sparse points with outliers from the true depth of each image, and compares what the points "
        "say alone with what they say together with a depth model's map. Writes table.md and table.json.",
        epilog="Interrupted: the same command goes on. After a change of the code take another --out.",
    )
    add = parser.add_argument
    add("--checkpoint", default="models/depth", metavar="DIR", help="Marigold folder or hub id (default: %(default)s)")
    add("--data", type=Path, required=True, metavar="FOLDER", help="RGB-D folder; its test split is used")
    add("--images", type=int, metavar="N", help="images, evenly spread over the test split (default: all)")
    add("--points", type=int, default=200, help="sparse points of an image (default: %(default)s)")
    add("--outliers", type=float, default=0.2, help="share of the points that are wrong (default: %(default)s)")
    add("--steps", type=int, help="network calls of a map (default: the checkpoint's)")
    add("--k", type=float, default=1.0, help="steering of the map (default: %(default)s)")
    add("--sigma", type=float, default=1.0, help="steering of the map (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the points and of the noise (default: %(default)s)")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number> (default: %(default)s)")
    add("--out", type=Path, default=Path("runs/reproduce/sparse_depth"), help="folder (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure what is missing, compare, write; 130 when interrupted (what was measured stays)."""
    from dataclasses import asdict, replace

    from psr_core.steering import Steering
    from psr_eval.depth_estimates import DepthRun, evenly_spread, open_data
    from psr_eval.depth_rows import Row
    from psr_eval.report_text import write_files
    from psr_eval.sparse_depth import SparseSettings, as_markdown, compare, measure
    from psr_perception.depth.estimator import DepthEstimator
    from psr_perception.depth.loading import load_depth_pipeline

    steering = Steering(k=args.k, sigma=args.sigma)
    settings = SparseSettings(args.points, args.outliers, args.seed)
    data = open_data(args.data)
    numbers = evenly_spread(len(data.dataset), args.images)
    pipeline = load_depth_pipeline(args.checkpoint, args.device, "float32")
    pipeline.set_progress_bar_config(disable=True)
    given = {"seed": args.seed, **({"num_inference_steps": args.steps} if args.steps else {})}
    depth = replace(DepthEstimator(pipeline).default_settings, **given)
    depth_run = DepthRun(pipeline, [Row("ddim", 1, steering)], depth)
    progress = Progress("images")
    try:
        measured = measure(depth_run, data, numbers, steering, settings, args.out / "images.jsonl", progress.count)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was measured; the same command goes on", file=sys.stderr)
        return 130
    progress.end()
    results = compare(measured)
    facts = {
        "data": data.name,
        "checkpoint": str(args.checkpoint),
        "images": len(numbers),
        "steering": steering.label(),
        "num_inference_steps": depth.num_inference_steps,
        **asdict(settings),
    }
    text = as_markdown(results, facts)
    content = json.dumps({"settings": facts, "rows": [asdict(each) for each in results]}, indent=1)
    write_files(args.out, {"table.md": text.encode(), "table.json": f"{content}\n".encode()})
    print(text)
    return 0

"""`psr reproduce pose-video`: whether the pose of a slowly turning symmetric object jumps, on rendered videos."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from psr_cli.progress import Progress
from psr_cli.train_pose import SHAPES

DESCRIPTION = """Renders a video of each slowly turning solid, sends every frame through what the pose node runs, and
counts where the first sample and the published pose jump by a symmetry, although the object did not. Writes table.json,
table.md, jumps.png (every frame's move), frames.png and video.mp4 (picture, sample, pose)."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "pose-video",
        help="the pose of a turning symmetric object: does it jump from one look-alike to another?",
        description=DESCRIPTION,
        epilog="Interrupted: the same command goes on. After a change of the code take another --out.",
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="network of `psr train pose`")
    add("--shapes", nargs="+", default=list(SHAPES), metavar="SHAPE", help="solids (default: SYMSOL's five)")
    add("--frames", type=int, default=180, metavar="N", help="of each solid (default: %(default)s)")
    add("--step", type=float, default=2.0, metavar="DEGREES", help="turned from frame to frame (default: %(default)s)")
    add("--rows", type=Path, metavar="FILE", help="settings to compare (default: config/reproduce/pose_video.yaml)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number> (default: cpu)")
    add("--threads", type=int, help="torch threads (default: torch's own)")
    add("--out", type=Path, default=Path("runs/reproduce/pose_video"), help="folder (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate what is missing, count, write the report; 130 when interrupted (finished videos stay)."""
    from psr_cli.graph import suite_root
    from psr_core.devices import set_threads, torch_device
    from psr_eval.pose_turning import Turning, measure
    from psr_eval.pose_turning_report import write_report
    from psr_eval.pose_turning_rows import read_rows
    from psr_eval.pose_turning_video import stills, write_video
    from psr_perception.pose.checkpoint import load_pose_network, read_pose_description

    set_threads(args.threads)
    rows = read_rows(args.rows or suite_root() / "config" / "reproduce" / "pose_video.yaml")
    turning = Turning(tuple(args.shapes), args.frames, args.step)
    rows[0].request(args.seed)  # refuses a seed that cannot be
    network, _ = load_pose_network(args.checkpoint, torch_device(args.device))
    facts = {"weights_sha256": read_pose_description(args.checkpoint)["card"]["sha256"]}
    progress = Progress("frames")
    try:
        clips = measure(
            network, turning, rows, args.out / "clips.jsonl", seed=args.seed, facts=facts, report=progress.count
        )
        filmed = {shape: clips[rows[0], shape] for shape in turning.shapes}
        progress.say("drawing the pictures")
        settings = _settings(args, facts)
        files = write_report(clips, turning, settings, stills(turning, filmed), args.out)
        progress.say("drawing the video")
        files.append(write_video(turning, filmed, rows[0], args.out / "video.mp4"))
        progress.end()
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was finished; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))
    return 0


def _settings(args: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    """What decides the figures, as plain values."""
    from psr_core.model_folder import checkpoint_id
    from psr_eval.environment import environment

    checkpoint = checkpoint_id(args.checkpoint, facts["weights_sha256"])
    return {"checkpoint": checkpoint, **facts, "seed": args.seed, "made_with": environment()}

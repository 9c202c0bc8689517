"""`psr bag`: what recorded runs say: success rates, latencies, turns of the dial."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bag",
        help="success rates, latencies and turns of the dial in recorded bags",
        description="Reads bags, also cut ones, without ROS. "
        "Exit code 1 when a chunk was not sampled under the steering that had been set.",
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="DIR", help="bag folder, or an .mcap file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write report.html, scores and, if filmed, a video")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number and episode to this file")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per setting to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return tell(args.bags, args.out, args.json, args.csv)


def tell(
    folders: Sequence[Path],
    out: Path | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    further: Sequence[str] = (),
) -> int:
    """What `psr bag` does; further: sections of the report about what is in no bag."""
    from psr_eval.score_table import as_text, write_csv, write_json
    from psr_eval.scores import read_bags, score
    from psr_eval.steering_changes import steering_changes

    bags, repeats = read_bags(folders)
    scores = score(bags)
    scores.notes[:0] = repeats
    changes = [change for bag in bags for change in steering_changes(bag)]
    print(as_text(scores, changes))
    if json:
        write_json(scores, json, changes)
    if csv:
        write_csv(scores, csv)
    if out:
        from psr_eval.report import render
        from psr_eval.video import write_video

        write_json(scores, out / "scores.json", changes)
        write_csv(scores, out / "scores.csv")
        video = write_video(bags, out / "episode.mp4")
        report = out / "report.html"
        report.write_text(render(bags, scores, video, further), encoding="utf-8")
        print(f"\nreport: {report}")
    return int(any(change.ok is False for change in changes))

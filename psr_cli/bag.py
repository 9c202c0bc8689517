"""`psr bag`: what recorded runs say: success rates, latencies, turns of the dial."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bag",
        help="success rates, latencies and turns of the dial in recorded bags",
        description="Reads bags, also cut ones, without ROS. Exit code 1 when a bag cannot be read, or when a chunk "
        "was not sampled under the steering that had been set.",
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="DIR", help="bag folder, or an .mcap file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write report.html, scores and, if filmed, a video")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number and episode to this file")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per setting to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from psr_eval.score_table import as_text, write_csv, write_json
    from psr_eval.scores import read_bags, score
    from psr_eval.steering_changes import steering_changes

    try:
        bags, repeats = read_bags(args.bags)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    scores = score(bags)
    scores.notes[:0] = repeats
    changes = [change for bag in bags for change in steering_changes(bag)]
    print(as_text(scores, changes))
    folder = args.out
    for path in filter(None, [args.json, folder and folder / "scores.json"]):
        write_json(scores, path, changes)
    for path in filter(None, [args.csv, folder and folder / "scores.csv"]):
        write_csv(scores, path)
    if folder:
        _write_report(bags, folder)
    return int(any(change.ok is False for change in changes))


def _write_report(bags: list, folder: Path) -> None:
    from psr_eval.report import write_report
    from psr_eval.video import write_video

    paths = [bag.path for bag in bags]
    video = write_video(paths, folder / "episode.mp4")
    write_report(paths, folder / "report.html", video=video)
    print(f"\nreport: {folder / 'report.html'}")

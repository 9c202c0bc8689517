"""`psr lift`: an object from a catalogue in the simulator: dropped, and lifted by the scripted expert."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from psr_cli.progress import Progress
from sim.extras import CLUTTER_COUNT, Extras


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "lift",
        help="drop an object in the simulator, and let the scripted expert lift it",
        description="Drop an object onto a floor, then let the scripted expert lift it in the cube's place on many "
        "seeds. Writes lifts.json, and lift.mp4 of the first success; a catalogue that lists the object gets the "
        "results, too.",
    )
    add = parser.add_argument
    add("asset", type=Path, help="folder of an object, such as runs/catalogue/red_mug_3")
    add("--seeds", type=int, default=20, help="episodes (default: %(default)s)")
    add("--first-seed", type=int, default=0, help="the episodes' seeds count from here (default: %(default)s)")
    add("--out", type=Path, help="folder of video and results (default: runs/lift/NAME)")
    add("--camera", default="agentview", help="of the video: agentview, frontview, ... (default: %(default)s)")
    add("--clutter", default="", metavar="FOLDER", help="a catalogue, some of whose objects stand about")
    add("--clutter-count", type=int, default=CLUTTER_COUNT, help="how many of them (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Drops and lifts; 0 also where the expert fails: what it measures is the object."""
    if args.seeds < 1 or args.first_seed < 0:
        raise ValueError(f"seeds is {args.seeds}, first-seed {args.first_seed}; expected at least 1 and 0")
    from psr_core.files import write_whole
    from psr_eval.asset_lifts import VIDEO, lift_asset

    name, line = args.asset.resolve().name, Progress("episodes")
    out = args.out or Path("runs/lift") / name
    lifts = lift_asset(
        args.asset,
        range(args.first_seed, args.first_seed + args.seeds),
        out,
        extras=Extras(clutter=args.clutter, clutter_count=args.clutter_count),
        camera=args.camera,
        progress=lambda attempts: line.count(len(attempts), args.seeds, name),
    )
    line.end()
    out.mkdir(parents=True, exist_ok=True)
    results, attempts = lifts.results(), [asdict(attempt) for attempt in lifts.attempts]
    write_whole(out / "lifts.json", (json.dumps({**results, "attempts": attempts}, indent=1) + "\n").encode())
    if not args.clutter:
        _list(args.asset, results)
    print(f"{name}\n{lifts.as_text()}")
    if (out / VIDEO).is_file():
        print(f"video: {out / VIDEO}")
    return 0


def _list(asset: Path, results: dict[str, Any]) -> None:
    """Add the results to the catalogue around the asset, if that lists it."""
    from psr_mesh.catalogue import add_asset, read_catalogue

    folder, name = asset.resolve().parent, asset.resolve().name
    for entry in read_catalogue(folder):
        if entry.name == name:
            add_asset(folder, name, entry.thumbnail, {**entry.results, **results})

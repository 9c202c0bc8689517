"""What `psr reproduce pose-video` found, as JSON, Markdown and a chart over time."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from psr_core.statistics import wilson_interval
from psr_eval.pose_jumps import LIMIT, Moves, jump_limit
from psr_eval.pose_turning import Clip, Clips, Turning
from psr_eval.pose_turning_rows import Row
from psr_eval.report_text import head, line, write_files

LEAST = 0.05  # degrees, the smallest move that is drawn


@dataclass(frozen=True)
class Steadiness:
    """Of one estimate: its moves, and how many jump by a symmetry, slip and leap; degrees, None where it has none."""

    moves: int
    jumps: int
    slips: int
    leaps: int
    median_move: float | None
    largest_move: float | None
    median_error: float | None


def steadiness(found: Sequence[Moves]) -> Steadiness:
    """Of one clip's moves, or of several clips' together."""
    angles, errors, *kinds = (
        torch.cat([getattr(each, name) for each in found])
        for name in ("angles", "errors", "jumped", "slipped", "leapt")
    )
    largest = angles.max() if len(angles) else angles.mean()
    numbers = (None if value.isnan() else float(value) for value in (angles.median(), largest, errors.median()))
    return Steadiness(len(angles), *(int(kind.sum()) for kind in kinds), *numbers)


def write_report(
    clips: Clips, turning: Turning, settings: Mapping[str, Any], stills: bytes, folder: Path
) -> list[Path]:
    """Write table.json, table.md, jumps.png and frames.png; returns the paths.

    settings: what decides the figures, plain values, with checkpoint and seed among them.
    """
    content = json.dumps(as_dict(clips, turning, settings), indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "table.json": f"{content}\n".encode(),
        "table.md": as_markdown(clips, turning, settings).encode(),
        "jumps.png": chart(clips, turning),
        "frames.png": stills,
    }
    return write_files(folder, files)


def as_dict(clips: Clips, turning: Turning, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain values, angles in degrees; shape None is all shapes together."""
    rows = [
        {
            "row": {"name": row.name, **asdict(row)},
            "shape": shape,
            "limit": None if shape is None else math.degrees(jump_limit(found[0].symmetry)),
            "frames": sum(len(clip.poses) for clip in found),
            "frames_without_pose": sum(clip.missing for clip in found),
            **{name: _kept(steadiness(each)) for name, each in _both(found).items()},
        }
        for row, shape, found in _groups(clips)
    ]
    return {"settings": {**settings, **asdict(turning)}, "answers": answers(clips), "rows": rows}


def answers(clips: Clips) -> list[str]:
    """For each setting: does the pose jump by a symmetry, and does the sample? No more than what was counted."""
    return [sentence(row, found) for row, shape, found in _groups(clips) if shape is None]


def sentence(row: Row, clips: Sequence[Clip]) -> str:
    """What was counted under one setting."""
    sample, pose = (steadiness(each) for each in _both(clips).values())
    verdict = "Yes" if pose.jumps else "No"
    leaps, slips = (f"sample {getattr(sample, name)}, pose {getattr(pose, name)}" for name in ("leaps", "slips"))
    return (
        f"{row.name}: does the published pose jump by a symmetry? {verdict}: {_count(pose)}; the first sample: "
        f"{_count(sample)}. Leaps to what looks different: {leaps}; slips: {slips}."
    )


def as_markdown(clips: Clips, turning: Turning, settings: Mapping[str, Any]) -> str:
    """The report as text."""
    parts = [
        f"# The pose of a turning object: {settings['checkpoint']}",
        "\n".join(f"* {text}" for text in answers(clips)),
        f"{len(turning.shapes)} solids ({', '.join(turning.shapes)}), each turning by {turning.step:g} degrees a frame "
        f"for {turning.frames} frames about an axis that is none of its symmetry; noise seed {settings['seed']}. Every "
        "frame goes through the pose node's runner, in their order.",
        "\n".join(_table(clips)),
        "\n".join(
            [
                "* Of all rotations that look like the truth R, an estimate follows the nearest, R S. It jumps by a "
                "symmetry where it moves, and S changes, by more than the limit from one frame that has an estimate to "
                "the next: half of the smallest rotation of a finite group; about a continuous axis, where S glides as "
                f"the object turns, {math.degrees(LIMIT):g} degrees.",
                "* Slips: S changes by more than the limit, but the estimate moved by less: it stood still, or was "
                "missing, as the object turned on. Leaps: moves to what looks different by more than the limit, as to "
                "another mode and back.",
                "* Errors are angles to the nearest rotation that looks like the truth. [95 %]: Wilson's interval, as "
                "if frames were independent; neighbours are not.",
                "* One video of each solid; nothing here says how other networks or objects would do.",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def chart(clips: Clips, turning: Turning) -> bytes:
    """PNG: plain angles from frame to frame, a line of panels for each solid, a column for each setting; jumps are
    crossed."""
    rows = list(dict.fromkeys(row for row, _ in clips))
    figure = Figure(figsize=(1.5 + 3.4 * len(rows), 1.2 + 1.7 * len(turning.shapes)), layout="constrained")
    grid: Any = figure.subplots(len(turning.shapes), len(rows), squeeze=False, sharex=True, sharey=True)
    for shape, panels in zip(turning.shapes, grid, strict=True):
        for row, axes in zip(rows, panels, strict=True):
            _panel(axes, clips[row, shape], turning)
        panels[0].set_ylabel(f"{shape}\ndegrees", fontsize=9)
    for row, axes in zip(rows, grid[0], strict=True):
        axes.set_title("\n".join(textwrap.wrap(row.name, 34)), fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("frame", fontsize=9)
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=min(6, 2 * len(rows)), fontsize=9
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _panel(axes: Any, clip: Clip, turning: Turning) -> None:
    for moves, name, colour in (
        (clip.sample_moves(), "first sample", "tab:orange"),
        (clip.pose_moves(), "published pose", "tab:blue"),
    ):
        drawn = moves.angles.clamp(min=LEAST)
        axes.plot(moves.frames, drawn, ".", markersize=3, color=colour, label=name)
        crosses = moves.frames[moves.jumped], drawn[moves.jumped]
        axes.plot(*crosses, "x", markersize=5, color=colour, label=f"jump of the {name}")
    axes.axhline(turning.step, color="0.3", linewidth=0.8, label="the object's own step")
    axes.axhline(math.degrees(jump_limit(clip.symmetry)), color="0.3", linewidth=0.8, linestyle=":", label="limit")
    axes.set_yscale("log")
    axes.set_ylim(LEAST, 300)
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.tick_params(labelsize=8)


def _table(clips: Clips) -> Iterator[str]:
    counts = ["sample's jumps [95 %]", "pose's jumps [95 %]", "leaps: sample, pose", "slips", "frames without pose"]
    medians = ["median move: sample, pose", "pose's largest", "median error: sample, pose"]
    yield head(["setting", "solid", "limit", *counts, *(f"{name}, degrees" for name in medians)])
    for row, shape, found in _groups(clips):
        sample, pose = (steadiness(each) for each in _both(found).values())
        cells = [
            row.name,
            shape or "all",
            "" if shape is None else f"{math.degrees(jump_limit(found[0].symmetry)):.0f}°",
            _share(sample),
            _share(pose),
            f"{sample.leaps}, {pose.leaps}",
            f"{sample.slips}, {pose.slips}",
            str(sum(clip.missing for clip in found)),
            f"{_text(sample.median_move)}, {_text(pose.median_move)}",
            _text(pose.largest_move),
            f"{_text(sample.median_error)}, {_text(pose.median_error)}",
        ]
        yield line(cells)


def _groups(clips: Clips) -> Iterator[tuple[Row, str | None, list[Clip]]]:
    """For each setting the clips of all solids together (shape None), then those of each."""
    for row in dict.fromkeys(row for row, _ in clips):
        own = {shape: clip for (each, shape), clip in clips.items() if each == row}
        yield row, None, list(own.values())
        for shape, clip in own.items():
            yield row, shape, [clip]


def _both(clips: Sequence[Clip]) -> dict[str, list[Moves]]:
    return {"sample": [clip.sample_moves() for clip in clips], "pose": [clip.pose_moves() for clip in clips]}


def _kept(found: Steadiness) -> dict[str, Any]:
    return {**asdict(found), "jumps_interval": list(wilson_interval(found.jumps, found.moves))}


def _count(found: Steadiness) -> str:
    low, high = wilson_interval(found.jumps, found.moves)
    return f"{found.jumps} of {found.moves} moves (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


def _share(found: Steadiness) -> str:
    low, high = wilson_interval(found.jumps, found.moves)
    return f"{found.jumps} of {found.moves} [{100 * low:.1f}, {100 * high:.1f}] %"


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"

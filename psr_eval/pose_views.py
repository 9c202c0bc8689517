"""Rotations that were estimated while an episode was filmed, drawn over the images and over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from psr_eval.episodes import steering_of
from psr_eval.html import table
from psr_eval.moments import embedded, png
from psr_eval.pose_track import PoseTrack, line_of_sight, looked_at
from psr_eval.wireframe import drawn
from psr_perception.pose.raycaster import PADDING
from psr_perception.pose.solids import RADIUS, SOLIDS

SIDE = 2.5  # inches, an image's width
STEADY, RAW, TRUE = "#1f6feb", "#c2611a", "#16794a"

Array = NDArray[Any]


def picture(track: PoseTrack) -> bytes:
    """PNG with a line for each image kept: all of it with the region, the region, and the solid drawn over the region
    under the steady pose and under the true one."""
    first = next(iter(track.pictures.values()))
    height = SIDE * max(1.0, first.shape[0] / first.shape[1])
    figure = Figure(figsize=(4 * SIDE, (height + 0.1) * len(track.pictures) + 0.3), layout="constrained")
    grid: Any = figure.subplots(len(track.pictures), 4, squeeze=False)
    for line, (number, image) in zip(grid, track.pictures.items(), strict=True):
        column, row, side = looked_at(track.infos[number].region, image.shape[1], image.shape[0])
        corner = column - side / 2, row - side / 2
        for axes in line:
            axes.imshow(image)
            axes.set_axis_off()
        line[0].add_patch(Rectangle(corner, side, side, fill=False, edgecolor=STEADY, linewidth=1.5))
        for axes in line[1:]:
            axes.set_xlim(corner[0], corner[0] + side)
            axes.set_ylim(corner[1] + side, corner[1])
        for axes, rotation, colour in ((line[2], track.stable[number], STEADY), (line[3], track.truth[number], TRUE)):
            for points in wireframe(track, number, rotation):
                axes.plot(*points.T, color=colour, linewidth=1.8)
        if not track.stable[number].isfinite().all():
            line[2].set_title("no steady pose", fontsize=9, pad=3)
    for axes, title in zip(grid[0], ("camera", "region", "steady pose", "true rotation"), strict=True):
        axes.set_title(axes.get_title() or title, fontsize=9, pad=3)
    return png(figure)


def wireframe(track: PoseTrack, number: int, rotation: Tensor) -> list[Array]:
    """Lines (n, 2) in pixels of the object in a frame's image under a rotation (3, 3); none where it is NaN."""
    if not rotation.isfinite().all():
        return []
    info = track.infos[number]
    column, row, side = looked_at(info.region, *track.size)
    ray = np.linalg.solve(track.K, [column, row, 1.0])
    distance = PADDING * 2 * RADIUS * track.K[0, 0] / side  # at which the region is as wide as the network knows it
    lines = drawn(SOLIDS[info.symmetry], line_of_sight(ray) @ rotation.numpy(), distance * ray, track.K)
    return [lines.outline, *lines.seen]


def chart(track: PoseTrack) -> bytes:
    """PNG: over time, the error up to symmetry and how far the rotation jumps from frame to frame."""
    figure = Figure(figsize=(4 * SIDE, 2.6), layout="constrained")
    error, jump = figure.subplots(1, 2)
    seconds = track.seconds - track.seconds[0]
    for name, rotations, colour in _rows(track):
        style: Any = {"color": colour, "marker": "o", "markersize": 3, "linewidth": 1.3, "label": name}
        if name != "truth":
            error.plot(seconds, track.error(rotations), **style)
        jump.plot(seconds[1:], track.jumps(rotations), **style, linestyle="--" if name == "truth" else "-")
    error.set_ylabel("error up to symmetry, degrees", fontsize=8)
    jump.set_ylabel("from the frame before, degrees", fontsize=8)
    for axes in (error, jump):
        axes.set_xlabel("simulated time, s", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        axes.grid(color="0.9")
        axes.legend(fontsize=8, framealpha=0.9)
    return png(figure)


def medians(track: PoseTrack) -> str:
    """The table, as HTML: a line for the steady pose, for one raw sample, and for how the object really turned."""
    head = (
        '<tr><th>rotation</th><th class="number">frames</th><th class="number">off the truth<br>median</th>'
        '<th class="number">from frame to frame<br>median</th><th class="number">largest</th></tr>'
    )
    return table(head, (_line(track, name, rotations) for name, rotations, _ in _rows(track)))


def sentence(track: PoseTrack) -> str:
    """What the rotations were made by, and how to read them."""
    info = track.infos[0]
    return (
        f"Of one {info.symmetry}, {info.samples} samples an image by {info.checkpoint} under "
        f"{steering_of(info.steering).label()}, {info.num_inference_steps} network calls. Errors are up to the "
        "symmetry of the object; jumps are not: of the rotations that look alike, the steady pose keeps to one. "
        "The raw sample is the first of each image."
    )


def as_html(track: PoseTrack) -> str:
    """Picture, chart, table and sentence."""
    drawings = embedded(picture(track), "estimated and true rotation over the image")
    return drawings + embedded(chart(track), "error and jumps over time", sentence(track)) + medians(track)


def _rows(track: PoseTrack) -> Sequence[tuple[str, Tensor, str]]:
    return ("steady pose", track.stable, STEADY), ("one raw sample", track.sample, RAW), ("truth", track.truth, TRUE)


def _line(track: PoseTrack, name: str, rotations: Tensor) -> str:
    error, jumps = track.error(rotations), track.jumps(rotations)
    known, moved = error[np.isfinite(error)], jumps[np.isfinite(jumps)]
    numbers = [
        "" if name == "truth" or not known.size else f"{np.median(known):.1f}°",
        f"{np.median(moved):.1f}°" if moved.size else "–",
        f"{moved.max():.1f}°" if moved.size else "–",
    ]
    cells = "".join(f'<td class="number">{number}</td>' for number in (len(known), *numbers))
    return f"<tr><td>{name}</td>{cells}</tr>"

"""Turning solids beside what was estimated of them, as video and as one picture of its first frames."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from psr_core.media import write_mp4
from psr_eval.pose_jumps import Moves
from psr_eval.pose_turning import RATE, Clip, Turning
from psr_eval.pose_turning_rows import Row
from psr_eval.pose_wireframes import draw

SIDE, BAR = 160, 24  # pixels of a picture, and of the text above it
ACROSS = 2  # solids side by side
STILLS = 4  # frames of the picture
FLASH = 5  # frames that a jump is framed in red
SAMPLE, POSE, ALARM, TEXT = (255, 170, 60), (110, 200, 255), (255, 50, 50), (235, 235, 235)  # RGB
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Pixels = NDArray[np.uint8]


def write_video(turning: Turning, clips: Mapping[str, Clip], row: Row, out: Path) -> Path:
    """Write the clips of one setting, by shape, as MP4; returns `out`. Raises ImportError as write_mp4."""
    return write_mp4(_frames(turning, clips, row), RATE, out)


def stills(turning: Turning, clips: Mapping[str, Clip]) -> bytes:
    """PNG: the first STILLS frames from left to right, a line for each solid."""
    lines = [np.hstack(list(islice(_trios(turning, shape, clip), STILLS))) for shape, clip in clips.items()]
    buffer = io.BytesIO()
    Image.fromarray(np.vstack(lines)).save(buffer, format="PNG")
    return buffer.getvalue()


def _frames(turning: Turning, clips: Mapping[str, Clip], row: Row) -> Iterator[Pixels]:
    """The trios of all solids, ACROSS in a line, and after the last one the setting."""
    places = len(clips) + 1
    empty = -places % ACROSS
    solids = zip(*(_trios(turning, shape, clip) for shape, clip in clips.items()), strict=True)
    for number, trios in enumerate(solids):
        note = _note(trios[0].shape, row, number, turning.frames)
        cells = [*trios, note, *[np.zeros_like(note)] * empty]
        yield np.vstack([np.hstack(cells[first : first + ACROSS]) for first in range(0, len(cells), ACROSS)])


def _trios(turning: Turning, shape: str, clip: Clip) -> Iterator[Pixels]:
    """Of each frame the picture, the first sample and the pose, with the jumps so far above them."""
    sample, pose = _alarms(clip.sample_moves(), turning.frames), _alarms(clip.pose_moves(), turning.frames)
    for number, image in enumerate(turning.images(shape, SIDE)):
        picture = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        yield np.hstack(
            [
                _cell(picture, shape, TEXT),
                _drawn(shape, clip.samples[number], SAMPLE, "sample", sample, number),
                _drawn(shape, clip.poses[number], POSE, "pose", pose, number),
            ]
        )


def _alarms(moves: Moves, frames: int) -> NDArray[np.bool_]:
    """In which frames (frames,) something jumped by a symmetry."""
    alarms = np.zeros(frames, np.bool_)
    alarms[moves.frames[moves.jumped].numpy()] = True
    return alarms


def _drawn(
    shape: str,
    rotation: Tensor | None,
    colour: tuple[int, int, int],
    name: str,
    alarms: NDArray[np.bool_],
    number: int,
) -> Pixels:
    pixels = np.full((SIDE, SIDE, 3), 16, np.uint8)
    if rotation is not None:
        draw(pixels, shape, rotation, colour)
    if alarms[max(0, number - FLASH + 1) : number + 1].any():
        cv2.rectangle(pixels, (1, 1), (SIDE - 2, SIDE - 2), ALARM, 2)
    return _cell(pixels, f"{name} jumped {alarms[: number + 1].sum()}x" if rotation is not None else "no pose", colour)


def _cell(pixels: Pixels, text: str, colour: tuple[int, int, int]) -> Pixels:
    bar = np.zeros((BAR, SIDE, 3), np.uint8)
    cv2.putText(bar, text, (6, BAR - 8), _FONT, 0.42, colour, 1, cv2.LINE_AA)
    return np.vstack([bar, pixels])


def _note(shape: tuple[int, ...], row: Row, number: int, frames: int) -> Pixels:
    """What is shown; in ASCII, as OpenCV's fonts have no σ."""
    pixels = np.zeros(shape, np.uint8)
    told = [
        *textwrap.wrap(row.name.replace("σ", "sigma"), 52),
        f"frame {number + 1} of {frames}",
        "red frame: turned by a symmetry, as the object did not",
        "axes x red, y green, z blue",
    ]
    for line, text in enumerate(told):
        cv2.putText(pixels, text, (12, BAR + 20 + 22 * line), _FONT, 0.42, TEXT, 1, cv2.LINE_AA)
    return pixels

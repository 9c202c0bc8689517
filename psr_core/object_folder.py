"""A folder of pictures of single objects, and the words for them, that an image prior learns from.

    index.json          {"format": "psr objects", "format_version": 1, "size": 128,
                         "images": [{"image": "images/000000.png", "kind": "mug", "colour": "red",
                                     "material": "ceramic", "view": "front", "azimuth": 12.5, "elevation": 20.1}, ...],
                         "train": [0, 1, ...], "test": [...]}          further keys are ignored
    images/000000.png   8-bit colour, size x size

azimuth, elevation: degrees, of the camera; 0, 0 looks at the object's front, azimuth 90 at its left from there (the
picture's right). view: the word for both, see view_word. The index is written last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_core.image_folder import ImageFolder, write_png

VIEWS = ("front", "side", "back", "overhead")
WORDS = ("kind", "colour", "material", "view")
ANGLES = ("azimuth", "elevation")


def view_word(azimuth: float, elevation: float) -> str:
    """What a view is called: overhead above 60 degrees; front within 45 degrees of azimuth 0, back within 45 of 180.

    Source: threestudio, the thresholds of its view-dependent prompts.
    """
    if elevation > 60:
        return "overhead"
    turned = abs((azimuth + 180) % 360 - 180)
    return "front" if turned < 45 else "back" if turned > 135 else "side"


def write_object_image(
    folder: Path | str, number: int, rgb: NDArray[Any], words: Mapping[str, str], azimuth: float, elevation: float
) -> dict[str, Any]:
    """Writes a picture (S, S, 3) uint8; returns its entry in the index's "images". words: kind, colour, material.

    Raises ValueError for another shape or dtype.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape[0] != rgb.shape[1]:
        raise ValueError(f"image {number} is {rgb.shape} {rgb.dtype}, expected (S, S, 3) uint8")
    entry = {"image": f"images/{number:06d}.png"}
    write_png(Path(folder) / entry["image"], cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    view = view_word(azimuth, elevation)
    return {**entry, **words, "view": view, "azimuth": round(azimuth, 2), "elevation": round(elevation, 2)}


def write_object_index(
    folder: Path | str,
    images: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Sequence[int]],
    size: int,
    **more: Any,
) -> None:
    """Completes a folder. images: what write_object_image returned; size: pixels of a side.

    more: further keys of the index, as JSON has them.
    Raises ValueError, before anything is written, for an index that read_object_index would not take.
    """
    _FOLDER.write_index(folder, images, splits, **{**more, "size": size})


def read_object_index(folder: Path | str) -> dict[str, Any]:
    """The index of a complete folder, its fields checked.

    Raises FileNotFoundError when there is none, ValueError naming its field when it is damaged or of another format.
    """
    return _FOLDER.read_index(folder)


def read_object_image(folder: Path | str, entry: Mapping[str, Any], size: int) -> NDArray[np.uint8]:
    """The picture (size, size, 3) of an entry, RGB. Raises ValueError naming the file when it is none of that size."""
    path = Path(folder) / entry["image"]
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape != (size, size, 3):
        found = "no picture" if pixels is None else f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        raise ValueError(f"{path} is {found}, expected {size} x {size} pixels; copy the folder again")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _check_size(path: Path, index: Mapping[str, Any]) -> None:
    size = index.get("size")
    if type(size) is not int or size < 1:
        raise ValueError(f"{path}: size is {size!r}, expected pixels, an integer of at least 1")


def _is_entry(image: Any) -> bool:
    if not isinstance(image, dict) or not all(isinstance(image.get(key), str) for key in ("image", *WORDS)):
        return False
    angles: list[Any] = [image.get(key) for key in ANGLES]
    return image["view"] in VIEWS and all(type(a) in (int, float) and math.isfinite(a) for a in angles)


_ENTRY = '{"image": file, "kind", "colour", "material", "view": words, "azimuth", "elevation": degrees}'
_FOLDER = ImageFolder("psr objects", 1, "pictures of objects", _ENTRY, _is_entry, _check_size)

"""A folder of RGB-D images, as a renderer writes it and training reads it (psr_perception.depth.rgbd_folder).

    index.json          {"format": "psr rgbd", "format_version": 1, "min_depth": 0.1, "max_depth": 20.0,
                         "images": [{"rgb": "rgb/000000.png", "depth": "depth/000000.png"}, ...],
                         "train": [0, 1, ...], "test": [...]}          further keys are ignored
    rgb/000000.png      8-bit colour
    depth/000000.png    16-bit, millimetres along z, 0 invalid

train, test: numbers of images, none in both. min_depth, max_depth: metres; what is not between them is invalid.
Depth is PNG of millimetres, the form of NYUv2's and ScanNet's files and of a 16UC1 image: it reaches to 65.5 m, every
viewer opens it, and it takes a fraction of a float array's space. Its rounding (at most 0.5 mm: 0.17 % at 0.3 m) is far
below what networks err. The index is written last, so that a folder with one is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_core.files import write_whole

FORMAT, FORMAT_VERSION = "psr rgbd", 1
INDEX = "index.json"
SPLITS = ("train", "test")
FARTHEST = 65.535  # m, that 16 bits of millimetres reach

Array = NDArray[Any]


def write_rgbd_sample(folder: Path | str, number: int, rgb: Array, depth: Array, **more: Any) -> dict[str, Any]:
    """Writes an image and its depth map; returns its entry in the index's "images".

    rgb (H, W, 3) uint8. depth (H, W) float, metres; NaN, inf and what is not positive become invalid. more: further
    keys of the entry, such as the camera's, as JSON has them.
    Raises ValueError on other shapes or dtypes, and on depths beyond 65.535 m.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or depth.shape != rgb.shape[:2]:
        raise ValueError(
            f"image {number}: rgb is {rgb.shape} {rgb.dtype} and depth {depth.shape}; "
            "expected (H, W, 3) uint8 and (H, W)"
        )
    measured = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0)
    if measured.max(initial=0.0) > FARTHEST:
        raise ValueError(
            f"image {number}: depth reaches {measured.max():g} m, expected up to {FARTHEST} m; write inf for farther"
        )
    entry = {"rgb": f"rgb/{number:06d}.png", "depth": f"depth/{number:06d}.png"}
    _write_png(Path(folder) / entry["rgb"], cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    _write_png(Path(folder) / entry["depth"], np.rint(measured * 1000).astype(np.uint16))
    return {**entry, **more}


def write_rgbd_index(
    folder: Path | str,
    images: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Sequence[int]],
    min_depth: float,
    max_depth: float,
    **more: Any,
) -> None:
    """Completes a folder. images: what write_rgbd_sample returned. splits: numbers of images for "train" and "test".

    more: further keys of the index, as JSON has them.
    Raises ValueError, before anything is written, for an index that read_rgbd_index would not take.
    """
    index = {
        **more,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "min_depth": min_depth,
        "max_depth": max_depth,
        "images": [dict(image) for image in images],
        **{split: list(splits.get(split, ())) for split in SPLITS},
    }
    path = Path(folder) / INDEX
    _check_index(path, index)
    write_whole(path, f"{json.dumps(index, indent=1)}\n".encode())


def read_rgbd_index(folder: Path | str) -> dict[str, Any]:
    """The index of a complete folder, its fields checked.

    Raises FileNotFoundError when there is none, ValueError naming its field when it is damaged or of another format.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: not a folder of RGB-D images, or its writer has not finished")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from None
    _check_index(path, index)
    return dict(index)


def _write_png(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def _check_index(path: Path, index: Any) -> None:
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ValueError(f"{path} is not an index of RGB-D images; expected an object with format = {FORMAT!r}")
    if index.get("format_version") != FORMAT_VERSION:
        version = index.get("format_version")
        raise ValueError(f"{path}: format_version is {version!r}, this version reads {FORMAT_VERSION}")
    depths: list[Any] = [index.get("min_depth"), index.get("max_depth")]
    if not all(type(depth) in (int, float) for depth in depths) or not 0 <= depths[0] < depths[1] < np.inf:
        raise ValueError(f"{path}: min_depth and max_depth are {depths}, expected metres, 0 <= min_depth < max_depth")
    images = index.get("images")
    if not isinstance(images, list) or not all(_is_entry(image) for image in images):
        raise ValueError(f'{path}: images is not a list of objects {{"rgb": file, "depth": file}}')
    for split in SPLITS:
        numbers = index.get(split)
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < len(images) for n in numbers):
            raise ValueError(f"{path}: {split} is not a list of numbers of images, expected 0 to {len(images) - 1}")
    if both := set(index["train"]) & set(index["test"]):
        raise ValueError(f"{path}: images {sorted(both)} are in train and in test; expected each in one of them")


def _is_entry(image: Any) -> bool:
    return isinstance(image, dict) and all(isinstance(image.get(key), str) for key in ("rgb", "depth"))

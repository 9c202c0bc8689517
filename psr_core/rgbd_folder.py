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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_core.image_folder import ImageFolder, write_png

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
    write_png(Path(folder) / entry["rgb"], cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    write_png(Path(folder) / entry["depth"], np.rint(measured * 1000).astype(np.uint16))
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
    _FOLDER.write_index(folder, images, splits, **{**more, "min_depth": min_depth, "max_depth": max_depth})


def read_rgbd_index(folder: Path | str) -> dict[str, Any]:
    """The index of a complete folder, its fields checked.

    Raises FileNotFoundError when there is none, ValueError naming its field when it is damaged or of another format.
    """
    return _FOLDER.read_index(folder)


def _check_depths(path: Path, index: Mapping[str, Any]) -> None:
    depths: list[Any] = [index.get("min_depth"), index.get("max_depth")]
    if not all(type(depth) in (int, float) for depth in depths) or not 0 <= depths[0] < depths[1] < np.inf:
        raise ValueError(f"{path}: min_depth and max_depth are {depths}, expected metres, 0 <= min_depth < max_depth")


def _is_entry(image: Any) -> bool:
    return isinstance(image, dict) and all(isinstance(image.get(key), str) for key in ("rgb", "depth"))


_FOLDER = ImageFolder("psr rgbd", 1, "RGB-D images", '{"rgb": file, "depth": file}', _is_entry, _check_depths)

"""Our own folder of RGB-D images, such as a renderer writes and training reads.

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

from psr_perception.depth.datasets import DepthDataset, Sample, read_depth_png, read_rgb, require_size

FORMAT, FORMAT_VERSION = "psr rgbd", 1
INDEX = "index.json"
SPLITS = ("train", "test")
FARTHEST = 65.535  # m, that 16 bits of millimetres reach

Array = NDArray[Any]


def open_rgbd_folder(folder: Path | str, split: str) -> DepthDataset:
    """The samples of a split, "train" or "test", in the order of the index.

    Raises FileNotFoundError or ValueError naming the index and its field; reading a sample, naming its file.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected one of: {', '.join(SPLITS)}")
    folder = Path(folder)
    index = _read_index(folder / INDEX)
    images = [index["images"][number] for number in index[split]]
    min_depth, max_depth = float(index["min_depth"]), float(index["max_depth"])

    def load(place: int) -> Sample:
        rgb_path, depth_path = folder / images[place]["rgb"], folder / images[place]["depth"]
        rgb, depth = read_rgb(rgb_path), read_depth_png(depth_path, 1000)
        require_size(depth_path, depth, rgb.shape[:2])
        return Sample(images[place]["rgb"], rgb, depth, (depth > min_depth) & (depth < max_depth))

    return DepthDataset(min_depth, max_depth, tuple(image["rgb"] for image in images), load)


def write_rgbd_sample(folder: Path | str, number: int, rgb: Array, depth: Array) -> dict[str, str]:
    """Writes an image and its depth map; returns its entry in the index's "images".

    rgb (H, W, 3) uint8. depth (H, W) float, metres; NaN, inf and what is not positive become invalid.
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
    return entry


def write_rgbd_index(
    folder: Path | str,
    images: Sequence[Mapping[str, str]],
    splits: Mapping[str, Sequence[int]],
    min_depth: float,
    max_depth: float,
) -> None:
    """Completes a folder. images: what write_rgbd_sample returned. splits: numbers of images for "train" and "test".

    Raises ValueError, before anything is written, for an index that open_rgbd_folder would not take.
    """
    index = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "min_depth": min_depth,
        "max_depth": max_depth,
        "images": [dict(image) for image in images],
        **{split: list(splits.get(split, ())) for split in SPLITS},
    }
    path = Path(folder) / INDEX
    _check_index(path, index)
    path.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _write_png(path: Path, pixels: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def _read_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: not a folder of RGB-D images, or its writer has not finished")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from None
    _check_index(path, index)
    return dict(index)


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

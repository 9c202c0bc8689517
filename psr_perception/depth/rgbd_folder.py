"""Samples of a folder of RGB-D images, whose form psr_core.rgbd_folder describes and writes."""

from __future__ import annotations

from pathlib import Path

from psr_core.image_folder import SPLITS
from psr_core.rgbd_folder import read_rgbd_index
from psr_perception.depth.datasets import DepthDataset, Sample, read_depth_png, read_rgb, require_size


def open_rgbd_folder(folder: Path | str, split: str) -> DepthDataset:
    """The samples of a split, "train" or "test", in the order of the index.

    Raises FileNotFoundError or ValueError naming the index and its field; reading a sample, naming its file.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected one of: {', '.join(SPLITS)}")
    folder = Path(folder)
    index = read_rgbd_index(folder)
    images = [index["images"][number] for number in index[split]]
    min_depth, max_depth = float(index["min_depth"]), float(index["max_depth"])

    def load(place: int) -> Sample:
        rgb_path, depth_path = folder / images[place]["rgb"], folder / images[place]["depth"]
        rgb, depth = read_rgb(rgb_path), read_depth_png(depth_path, 1000)
        require_size(depth_path, depth, rgb.shape[:2])
        return Sample(images[place]["rgb"], rgb, depth, (depth > min_depth) & (depth < max_depth))

    return DepthDataset(min_depth, max_depth, tuple(image["rgb"] for image in images), load)

"""A small folder of random RGB-D images, for tests of those who write and those who read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from psr_core.rgbd_folder import write_rgbd_index, write_rgbd_sample

SIZE = (12, 16)


def image(seed):
    """Colours (12, 16, 3) uint8, and depth between 0.2 and 15 m."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), rng.uniform(0.2, 15, SIZE).astype(np.float32)


def write_images(folder: Path) -> Path:
    """Images 0, 2, 3 for training and 1 for tests."""
    images = [write_rgbd_sample(folder, i, *image(i)) for i in range(4)]
    write_rgbd_index(folder, images, {"train": [0, 2, 3], "test": [1]}, 0.1, 20.0)
    return folder


def change(folder: Path, **fields: Any) -> None:
    """Other values in the index."""
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, **fields}))

"""A folder of made-up RGB-D images whose depth can be told from their colours: a slanted wall and a box before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psr_core.rgbd_folder import write_rgbd_index, write_rgbd_sample


def write_rooms(folder: Path, count: int = 24, size: tuple[int, int] = (24, 32), invalid: tuple[int, ...] = ()) -> Path:
    """Writes `count` images for training and one for the test; of those in `invalid` only a corner is valid."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(count + 1):
        depth = np.broadcast_to(np.linspace(1, rng.uniform(2, 4), size[1]), size).copy()
        row, column = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        depth[row : row + 8, column : column + 8] = rng.uniform(0.5, 0.9)
        grey = np.clip(255 - 60 * depth, 0, 255)
        if number in invalid:
            depth[4:] = np.inf
        entries.append(write_rgbd_sample(folder, number, np.stack([grey] * 3, 2).astype(np.uint8), depth))
    splits = {"train": list(range(count)), "test": [count]}
    write_rgbd_index(folder, entries, splits, min_depth=0.1, max_depth=20.0)
    return folder

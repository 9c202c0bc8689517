"""A folder of tiny pictures of objects: squares of one colour, the words for them true."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psr_core.object_folder import write_object_image, write_object_index

COLOURS = {"red": (200, 20, 20), "orange": (240, 130, 20), "blue": (20, 30, 200)}
KINDS, MATERIALS = ("mug", "table"), ("metal", "wooden")


def write_objects(folder: Path, train: int = 24, test: int = 6, size: int = 16) -> Path:
    """Writes them and returns the folder; each colour, kind, material and view comes up."""
    rng, entries = np.random.default_rng(0), []
    for number in range(train + test):
        colour = list(COLOURS)[number % 3]
        rgb = np.full((size, size, 3), 230, np.uint8)
        rgb[4:12, 4:12] = np.clip(np.array(COLOURS[colour]) + rng.integers(-10, 10, (8, 8, 3)), 0, 255)
        words = {"kind": KINDS[number % 2], "colour": colour, "material": MATERIALS[number // 2 % 2]}
        entries.append(write_object_image(folder, number, rgb, words, 90.0 * (number % 4), 70.0 * (number % 5 == 0)))
    splits = {"train": range(train), "test": range(train, train + test)}
    write_object_index(folder, entries, splits, size)
    return folder

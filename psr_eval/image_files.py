"""Pictures on disk as what the figures of images are taken from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from psr_core.image_folder import INDEX
from psr_core.object_folder import read_object_index

Pixels = NDArray[np.uint8]  # (H, W, 3)
T = TypeVar("T")

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
BATCH = 16


def read_pixels(path: Path) -> Pixels:
    """An image file as uint8 (H, W, 3). Raises OSError naming the file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def pictures_in(folder: Path) -> list[Path]:
    """The image files below a folder, in order of name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def reference_pictures(folder: Path) -> list[Path]:
    """The image files that generated ones are compared with: of a folder of objects (docs/object_data.md) its test
    split, of any other all."""
    if not (folder / INDEX).is_file():
        return pictures_in(folder)
    index = read_object_index(folder)
    return [folder / index["images"][number]["image"] for number in index["test"]]


def fitted(paths: Iterable[Path], size: tuple[int, int]) -> Iterator[Pixels]:
    """Image files, cut at the centre to the shape of `size` (H, W) and resized to it."""
    for path in paths:
        with Image.open(path) as image:
            yield np.asarray(ImageOps.fit(image.convert("RGB"), size[::-1], Image.Resampling.LANCZOS))


def batched(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of `size` items, the last one of what is left."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

"""Pictures on disk as what the figures of images are taken from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

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


def fitted(folder: Path, like: Pixels) -> Iterator[Pixels]:
    """The folder's images, in order of name, cut at the centre to the shape of `like` and resized to its size."""
    for path in pictures_in(folder):
        with Image.open(path) as image:
            yield np.asarray(ImageOps.fit(image.convert("RGB"), like.shape[1::-1], Image.Resampling.LANCZOS))


def batched(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of `size` items, the last one of what is left."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

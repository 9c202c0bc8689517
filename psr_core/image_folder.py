"""A folder of images with an index, as a renderer writes it and training reads it: what all its kinds have in common.

    index.json          {"format": ..., "format_version": ..., "images": [{...}, ...],
                         "train": [0, 1, ...], "test": [...]}          further keys are ignored

train, test: numbers of images, none in both. The index is written last, so that a folder with one is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from psr_core.files import write_whole

INDEX = "index.json"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class ImageFolder:
    """A kind of folder. holds: what is in it, for messages. entry: an image's entry in the index, in words.

    is_entry: whether something is one. check: raises ValueError for what else is wrong with an index, whose path it
    is told.
    """

    format: str
    version: int
    holds: str
    entry: str
    is_entry: Callable[[Any], bool]
    check: Callable[[Path, Mapping[str, Any]], None] = lambda path, index: None

    def write_index(
        self,
        folder: Path | str,
        images: Sequence[Mapping[str, Any]],
        splits: Mapping[str, Sequence[int]],
        **more: Any,
    ) -> None:
        """Completes a folder. images: their entries. splits: numbers of images for "train" and "test".

        more: further keys of the index, as JSON has them.
        Raises ValueError, before anything is written, for an index that read_index would not take.
        """
        index = {
            **more,
            "format": self.format,
            "format_version": self.version,
            "images": [dict(image) for image in images],
            **{split: list(splits.get(split, ())) for split in SPLITS},
        }
        path = Path(folder) / INDEX
        self._check_index(path, index)
        write_whole(path, f"{json.dumps(index, indent=1)}\n".encode())

    def read_index(self, folder: Path | str) -> dict[str, Any]:
        """The index of a complete folder, its fields checked.

        Raises FileNotFoundError when there is none, ValueError naming its field when it is damaged or of another
        format.
        """
        path = Path(folder) / INDEX
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: not a folder of {self.holds}, or its writer has not finished")
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not readable JSON ({error}); copy the folder again") from None
        self._check_index(path, index)
        return dict(index)

    def _check_index(self, path: Path, index: Any) -> None:
        if not isinstance(index, dict) or index.get("format") != self.format:
            raise ValueError(
                f"{path} is not an index of {self.holds}; expected an object with format = {self.format!r}"
            )
        if index.get("format_version") != self.version:
            version = index.get("format_version")
            raise ValueError(f"{path}: format_version is {version!r}, this version reads {self.version}")
        self.check(path, index)
        images = index.get("images")
        if not isinstance(images, list) or not all(self.is_entry(image) for image in images):
            raise ValueError(f"{path}: images is not a list of objects {self.entry}")
        for split in SPLITS:
            numbers = index.get(split)
            if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < len(images) for n in numbers):
                raise ValueError(f"{path}: {split} is not a list of numbers of images, expected 0 to {len(images) - 1}")
        if both := set(index["train"]) & set(index["test"]):
            raise ValueError(f"{path}: images {sorted(both)} are in train and in test; expected each in one of them")


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Pixels as OpenCV has them (colour is BGR) to a PNG file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())

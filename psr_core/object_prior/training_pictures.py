"""What an image prior and its judge are trained on: pictures of objects, and the texts that are true of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psr_core.object_folder import WORDS, read_object_image, read_object_index
from psr_core.object_prior.words import captions

JUDGED = 200  # pictures of the test split at most, evenly taken: more would take long and tell little


@dataclass(frozen=True)
class Pictures:
    """rgb (N, 3, S, S) uint8; texts: all that are used, once each; said (N, CAPTIONS) int64: which are true of each.

    words: kind, colour, material and view of each.
    """

    rgb: Tensor
    texts: tuple[str, ...]
    said: Tensor
    words: tuple[Mapping[str, str], ...]

    def __len__(self) -> int:
        return len(self.rgb)

    def colours(self, index: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) float32 in [-1, 1], as the autoencoder takes them."""
        return self.rgb[index].float() / 127.5 - 1


def load_pictures(folder: Path | str, factor: int, judged: int = JUDGED) -> tuple[Pictures, Pictures]:
    """The training split of a folder of pictures of objects, and at most `judged` pictures of its test split.

    factor: that the networks divide sides by. Raises ValueError for a size that is no multiple of it or a split without
    pictures; as read_object_index and read_object_image, too.
    """
    index = read_object_index(folder)
    size = index["size"]
    if size % factor:
        raise ValueError(f"{folder}: pictures have {size} pixels, expected a multiple of {factor} for these networks")
    for split in ("train", "test"):
        if not index[split]:
            raise ValueError(f"{folder}: split {split} has no pictures, expected 1 or more; render some")
    every = -(-len(index["test"]) // judged)
    splits = index["train"], index["test"][::every]
    learned, held_out = (_pictures(folder, [index["images"][n] for n in numbers], size) for numbers in splits)
    return learned, held_out


def _pictures(folder: Path | str, entries: Sequence[Mapping[str, Any]], size: int) -> Pictures:
    rgb = np.empty((len(entries), 3, size, size), np.uint8)
    numbers: dict[str, int] = {}
    said = []
    for place, entry in enumerate(entries):
        rgb[place] = read_object_image(folder, entry, size).transpose(2, 0, 1)
        said.append([numbers.setdefault(text, len(numbers)) for text in captions(entry)])
    words = tuple({name: entry[name] for name in WORDS} for entry in entries)
    return Pictures(torch.from_numpy(rgb), tuple(numbers), torch.tensor(said), words)

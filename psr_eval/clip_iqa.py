"""CLIP-IQA: how good a picture is, by which of two opposite texts a CLIP thinks it is nearer to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from psr_eval.clip_scores import Array

PAIRS = {  # of the thesis on SDI
    "quality": ("Good photo.", "Bad photo."),
    "sharpness": ("Sharp photo.", "Blurry photo."),
    "realness": ("Real photo.", "Abstract photo."),
}
SCALE = 100.0  # of cosines


class Texts(Protocol):
    """What says where texts lie in the space of pictures."""

    def text_features(self, texts: Sequence[str], /) -> Array: ...


def iqa_scores(space: Texts, features: Array) -> dict[str, Array]:
    """By name, 0 to 100 (N,), of pictures by their unit features (N, D). Nothing where the space refuses the words.

    Source: Wang et al. 2023 (CLIP-IQA), equation 3, as torchmetrics has it.
    """
    found = {}
    for name, pair in PAIRS.items():
        try:
            good, bad = space.text_features(pair)
        except ValueError:  # a small judge does not know the words
            continue
        found[name] = 100 / (1 + np.exp(SCALE * (features @ bad - features @ good)))
    return found

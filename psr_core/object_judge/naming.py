"""How often a judge names what a picture shows: the best of all words of a kind in a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from psr_core.object_folder import WORDS
from psr_core.object_prior.words import caption


def share_named(
    pictures: Tensor, words: Sequence[Mapping[str, str]], encode: Callable[[list[str]], Tensor]
) -> dict[str, dict[str, float]]:
    """For kind, colour, material and view the share of pictures whose word makes the caption that fits best.

    pictures: unit vectors (N, D); words: what is true of each; encode: texts to unit vectors (T, D). The captions are
    "a mug", "a bowl", ... for the kind, and "a red mug", "a blue mug", ... of the true kind for the rest, with all
    words that are true of any of the pictures. most_frequent: the share that always naming the commonest would have.
    """
    return {slot: _share_named(slot, pictures, words, encode) for slot in WORDS}


def _share_named(
    slot: str, pictures: Tensor, words: Sequence[Mapping[str, str]], encode: Callable[[list[str]], Tensor]
) -> dict[str, float]:
    counts = Counter(each[slot] for each in words)
    choices = sorted(counts)
    kinds = sorted({each["kind"] for each in words})
    texts = [caption(**{"kind": kind, slot: choice}) for kind in kinds for choice in choices]
    features = encode(texts).reshape(len(kinds), len(choices), -1)
    of_kind = features[[kinds.index(each["kind"]) for each in words]]
    best = (of_kind * pictures[:, None]).sum(-1).argmax(1).tolist()
    right = sum(choices[index] == each[slot] for index, each in zip(best, words, strict=True))
    return {
        "share": round(right / len(words), 4),
        "words": len(choices),
        "most_frequent": round(max(counts.values()) / len(words), 4),
    }

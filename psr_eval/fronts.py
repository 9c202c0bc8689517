"""Whether a picture of an object shows its front or its back, as real pictures of that kind tell them apart.

The rule: a picture is cut to SIDE x SIDE greys of mean 0 and deviation 1; a linear function of them is fitted to real
fronts (1) and backs (-1) of the kind by ridge regression; above 0 is a front. Its accuracy is measured on real pictures
of other objects. Kinds that look the same from both sides cannot be told, and the accuracy says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import binomtest

from psr_core.known_words import split_words
from psr_core.object_folder import read_object_image, read_object_index
from psr_eval.clip_scores import Array
from psr_eval.image_files import Pixels
from psr_eval.paired import SIGNIFICANCE

SIDE = 16  # greys
RIDGE = 0.1  # of the mean eigenvalue
MOST = 400  # pictures
FEWEST = {"train": 10, "test": 5}  # of each side
HIGHEST = 45.0  # degrees of elevation


@dataclass(frozen=True, eq=False)
class FrontRule:
    """A linear reading of pictures of a kind. right: how many of `tested` real pictures of other objects it reads
    right."""

    kind: str
    centre: Array
    weights: Array
    offset: float
    right: int
    tested: int

    @property
    def told(self) -> bool:
        """Whether it is better than chance, by a one-sided binomial test."""
        return bool(binomtest(self.right, self.tested, 0.5, "greater").pvalue < SIGNIFICANCE)

    def scores(self, pictures: Iterable[Pixels]) -> Array:
        """(N,), above 0 for a front."""
        found: Array = (greys(pictures) - self.centre) @ self.weights + self.offset
        return found


def front_rules(folder: Path, prompts: Sequence[str]) -> dict[str, FrontRule]:
    """The rule of each prompt's kind, learned from the pictures of a folder of objects (docs/object_data.md).

    Prompts of no kind of the folder, or one with too few pictures, have none. Raises what read_object_index raises.
    """
    index = read_object_index(folder)
    kinds = {entry["kind"] for entry in index["images"]}
    rules: dict[str, FrontRule | None] = {}
    for kind in sorted(kinds & {word for prompt in prompts for word in split_words(prompt)}):
        rules[kind] = _learned(folder, index, kind)
    by_prompt = {prompt: [rules[word] for word in split_words(prompt) if word in rules] for prompt in prompts}
    return {prompt: found[0] for prompt, found in by_prompt.items() if len(found) == 1 and found[0] is not None}


def fitted_rule(kind: str, learned: tuple[Array, Array], tested: tuple[Array, Array]) -> FrontRule:
    """The rule from greys (N, SIDE * SIDE) and whether each is a front (N,), to learn from and to be tested on."""
    x, fronts = learned
    centre, target = x.mean(0), np.where(fronts, 1.0, -1.0)
    inner = (x - centre) @ (x - centre).T
    kept = inner + RIDGE * np.trace(inner) / len(x) * np.eye(len(x))
    weights = (x - centre).T @ np.linalg.solve(kept, target - target.mean())
    said = (tested[0] - centre) @ weights + target.mean() > 0
    return FrontRule(kind, centre, weights, float(target.mean()), int((said == tested[1]).sum()), len(said))


def greys(pictures: Iterable[Pixels]) -> Array:
    """What the rule looks at, (N, SIDE * SIDE)."""
    small = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA).mean(2).ravel() for one in pictures]
    found: Array = np.asarray(small, np.float64).reshape(-1, SIDE * SIDE)
    found = found - found.mean(1, keepdims=True)
    return found / np.maximum(found.std(1, keepdims=True), 1.0)


def _learned(folder: Path, index: Mapping[str, Any], kind: str) -> FrontRule | None:
    sides = {split: _pictures(folder, index, split, kind) for split in ("train", "test")}
    if any(min(fronts.sum(), (~fronts).sum()) < FEWEST[split] for split, (_, fronts) in sides.items()):
        return None
    return fitted_rule(kind, sides["train"], sides["test"])


def _pictures(folder: Path, index: Mapping[str, Any], split: str, kind: str) -> tuple[Array, Array]:
    """Greys of the fronts and backs of a kind, and which are fronts."""
    entries = [index["images"][number] for number in index[split]]
    chosen = [
        entry
        for entry in entries
        if entry["kind"] == kind and entry["view"] in ("front", "back") and entry["elevation"] < HIGHEST
    ][:MOST]
    pictures = greys(read_object_image(folder, entry, index["size"]) for entry in chosen)
    return pictures, np.array([entry["view"] == "front" for entry in chosen], bool)

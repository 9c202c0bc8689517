"""What surfaces look like: colours and patterns, others for the test set than for the training set."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
SIDE = 128  # pixels of a pattern
Pattern = Callable[[np.random.Generator], NDArray[np.float64]]


def plain(rng: np.random.Generator) -> NDArray[np.float64]:
    """One colour."""
    return np.zeros((SIDE, SIDE))


def clouds(rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of several sizes."""
    layers = [_noise(rng, cells) * weight for cells, weight in ((4, 1.0), (9, 0.6), (20, 0.4), (50, 0.25))]
    return _stretched(np.sum(layers, axis=0))


def stripes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Parallel bands, bent by noise like wood."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle, bands = rng.uniform(0, np.pi), rng.integers(3, 14)
    along = np.cos(angle) * x + np.sin(angle) * y + rng.uniform(0, 0.15) * _noise(rng, 5)
    return 0.5 + 0.5 * np.sin(2 * np.pi * bands * along)


def tiles(rng: np.random.Generator) -> NDArray[np.float64]:
    """A chequerboard."""
    rows, columns = np.mgrid[:SIDE, :SIDE] // (SIDE // rng.integers(3, 12))
    return ((rows + columns) % 2).astype(float)


def spots(rng: np.random.Generator) -> NDArray[np.float64]:
    """Round spots of many sizes."""
    picture = np.zeros((SIDE, SIDE))
    for _ in range(rng.integers(10, 60)):
        centre = tuple(map(int, rng.integers(0, SIDE, 2)))
        cv2.circle(picture, centre, int(rng.integers(2, 14)), float(rng.uniform(0.4, 1)), -1)
    return picture


def speckles(rng: np.random.Generator) -> NDArray[np.float64]:
    """Fine grain."""
    return _stretched(_noise(rng, 64) + 0.5 * rng.random((SIDE, SIDE)))


PATTERNS: dict[str, tuple[Pattern, ...]] = {"train": (plain, clouds, stripes), "test": (tiles, spots, speckles)}


def skin(rng: np.random.Generator, split: str) -> bytes:
    """A PNG (SIDE, SIDE) of a random pattern of the split ("train" or "test") between two random colours."""
    patterns = PATTERNS[split]
    mix = patterns[rng.integers(len(patterns))](rng)[..., None]
    first, second = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    colours = (1 - mix) * first + mix * (first + rng.uniform(0.2, 1.0) * (second - first))
    done, data = cv2.imencode(".png", np.clip(colours, 0, 255).astype(np.uint8))
    assert done
    return data.tobytes()


def _noise(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    coarse = rng.random((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(float)


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To the whole of [0, 1]."""
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, 1e-9)

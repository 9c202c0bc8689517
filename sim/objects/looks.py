"""Colours and materials that a caption can name: a texture and how it shines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.rgbd.skins import SIDE, clouds, speckles, stripes

Array = NDArray[np.float64]
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.10, 0.09),
    "orange": (0.96, 0.50, 0.06),
    "yellow": (0.96, 0.84, 0.12),
    "green": (0.16, 0.58, 0.20),
    "blue": (0.10, 0.27, 0.78),
    "purple": (0.46, 0.16, 0.64),
    "pink": (0.97, 0.52, 0.70),
    "brown": (0.45, 0.26, 0.12),
    "grey": (0.50, 0.50, 0.50),
    "black": (0.09, 0.09, 0.10),
    "white": (0.95, 0.95, 0.93),
}
JITTER = 0.04  # standard deviation of a colour's channels
TEXTURE = 64  # pixels of a side


@dataclass(frozen=True)
class Material:
    """pattern: (SIDE, SIDE), about 0, by which the colour is made brighter or darker; the rest as MuJoCo takes it."""

    pattern: Callable[[np.random.Generator], Array]
    specular: float
    shininess: float


def _wood(rng: np.random.Generator) -> Array:
    return 0.45 * (stripes(rng) - 0.5) + 0.2 * (clouds(rng) - 0.5)


def _metal(rng: np.random.Generator) -> Array:
    """Brushed, with broad bands as of what it mirrors."""
    height = np.linspace(0, 1, SIDE)[:, None]
    bands = np.sin(2 * np.pi * (rng.uniform(1, 2) * height + rng.random())) + 0.5 * np.sin(
        2 * np.pi * (3.3 * height + rng.random())
    )
    return 0.3 * bands + rng.normal(0, 0.05, (SIDE, 1)) + np.zeros((SIDE, SIDE))


def _plain(rng: np.random.Generator) -> Array:
    return np.zeros((SIDE, SIDE))


def _stone(rng: np.random.Generator) -> Array:
    return 0.75 * (speckles(rng) - 0.5)


def _glaze(rng: np.random.Generator) -> Array:
    return 0.22 * (clouds(rng) - 0.5)


def _hide(rng: np.random.Generator) -> Array:
    return 0.3 * (speckles(rng) - 0.5) + 0.35 * (clouds(rng) - 0.5)


def _weave(rng: np.random.Generator) -> Array:
    place = np.arange(SIDE)
    threads = np.sin(np.pi * place / 3)
    return 0.3 * threads[:, None] * threads + rng.normal(0, 0.04, (SIDE, SIDE))


MATERIALS: dict[str, Material] = {
    "wooden": Material(_wood, 0.1, 0.2),
    "metal": Material(_metal, 1.0, 0.75),
    "plastic": Material(_plain, 0.35, 0.35),
    "ceramic": Material(_glaze, 1.0, 0.95),
    "stone": Material(_stone, 0.0, 0.0),
    "leather": Material(_hide, 0.35, 0.3),
    "cloth": Material(_weave, 0.0, 0.0),
}


def random_tint(rng: np.random.Generator, colour: str) -> Array:
    """RGB (3,), 0 to 1, of a shade that goes by this name."""
    base = np.array(COLOURS[colour])
    bright = base * rng.uniform(0.85, 1.1) + rng.normal(0, JITTER, 3)
    if colour in ("grey", "black", "white"):
        bright = np.full(3, bright.mean()) + rng.normal(0, 0.01, 3)
    return np.clip(bright, 0.02, 1)


def texture(rng: np.random.Generator, tint: Array, material: Material) -> bytes:
    """A PNG (TEXTURE, TEXTURE) of the material in this tint."""
    relief = cv2.resize(material.pattern(rng), (TEXTURE, TEXTURE), interpolation=cv2.INTER_AREA)[..., None]
    darkened = tint * (1 + np.minimum(relief, 0))
    colours = darkened + (1 - darkened) * np.maximum(relief, 0) * 0.6
    done, data = cv2.imencode(".png", np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)[..., ::-1])
    assert done
    return data.tobytes()

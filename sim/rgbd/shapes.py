"""Things to put into a room: each a few geoms that stand on the ground at the origin.

Those of the test set are other things than those of the training set, so that a depth model cannot know them by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Numbers = tuple[float, ...]
UPRIGHT = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Geom:
    """One geom of MuJoCo. kind: its type, or "cone" and "prism", which are meshes of their own.

    size as MuJoCo takes it (half lengths; cone and prism: radius, half height), position of its middle, euler angles
    in rad; lengths in m. skin: which of the thing's materials it has.
    """

    kind: str
    size: Numbers
    position: Numbers
    euler: Numbers = UPRIGHT
    skin: int = 0


Shape = Callable[[np.random.Generator, float], Iterator[Geom]]


def box(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A block of any proportions."""
    x, y, z = size * rng.uniform(0.3, 1.0, 3)
    yield Geom("box", (x, y, z), (0, 0, z))


def ball(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A sphere or an egg."""
    x, y, z = size * rng.uniform(0.6, 1.0) * rng.choice([np.ones(3), rng.uniform(0.6, 1, 3)])
    yield Geom("ellipsoid", (x, y, z), (0, 0, z))


def can(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A standing cylinder."""
    radius, half = size * rng.uniform([0.3, 0.3], [0.8, 1.0])
    yield Geom("cylinder", (radius, half), (0, 0, half))


def roll(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A lying capsule."""
    radius = size * rng.uniform(0.25, 0.5)
    yield Geom("capsule", (radius, size), (0, 0, radius), (np.pi / 2, 0, 0))


def bottle(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A body with a narrow neck and a cap."""
    radius, neck = size * rng.uniform(0.3, 0.5), size * rng.uniform(0.1, 0.2)
    yield Geom("cylinder", (radius, 0.6 * size), (0, 0, 0.6 * size))
    yield Geom("ellipsoid", (radius, radius, 0.3 * size), (0, 0, 1.2 * size))
    yield Geom("cylinder", (neck, 0.35 * size), (0, 0, 1.6 * size), skin=1)


def books(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """Two to five flat boxes on each other, each turned a little."""
    height = 0.0
    for skin in range(rng.integers(2, 6)):
        x, y, z = size * rng.uniform([0.6, 0.5, 0.06], [1.0, 0.8, 0.2])
        yield Geom("box", (x, y, z), (0, 0, height + z), (0, 0, rng.uniform(-0.4, 0.4)), skin % 3)
        height += 2 * z


def mug(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A cylinder with a handle of three bars."""
    radius, half = 0.55 * size, size * rng.uniform(0.5, 0.8)
    yield Geom("cylinder", (radius, half), (0, 0, half))
    bar, out = 0.09 * size, radius + 0.35 * size
    for height in (0.6 * half, 1.5 * half):
        yield Geom("capsule", (bar, 0.2 * size), (radius + 0.15 * size, 0, height), (0, np.pi / 2, 0))
    yield Geom("capsule", (bar, 0.45 * half), (out, 0, 1.05 * half))


def stool(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A seat on four legs."""
    half, leg = 0.6 * size, 0.06 * size
    height = size * rng.uniform(0.8, 1.6)
    yield Geom("box", (half, half, 0.08 * size), (0, 0, height))
    yield from _legs(half - leg, leg, height)


def cone(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A standing cone."""
    radius, half = size * rng.uniform([0.4, 0.5], [0.8, 1.0])
    yield Geom("cone", (radius, half), (0, 0, half))


def prism(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A block with three sides, standing or lying like a roof."""
    radius, half = size * rng.uniform([0.5, 0.4], [0.9, 1.0])
    if rng.random() < 0.5:
        yield Geom("prism", (radius, half), (0, 0, half))
    else:
        yield Geom("prism", (radius, half), (0, 0, 0.5 * radius), (np.pi / 2, 0, np.pi / 2))


def dumbbell(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """Two balls on a bar."""
    radius, bar = size * rng.uniform([0.3, 0.08], [0.45, 0.16])
    for side in (-1, 1):
        yield Geom("sphere", (radius,), (side * (size - radius), 0, radius))
    yield Geom("capsule", (bar, size - radius), (0, 0, radius), (0, np.pi / 2, 0), skin=1)


def lamp(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A disc, a pole and a shade."""
    height = size * rng.uniform(1.2, 2.0)
    yield Geom("cylinder", (0.4 * size, 0.05 * size), (0, 0, 0.05 * size))
    yield Geom("cylinder", (0.05 * size, height / 2), (0, 0, height / 2))
    yield Geom("cone", (0.55 * size, 0.35 * size), (0, 0, height), skin=1)


def chair(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A seat on four legs with a back."""
    half, leg, height = 0.5 * size, 0.05 * size, size * rng.uniform(0.8, 1.1)
    yield Geom("box", (half, half, 0.06 * size), (0, 0, height))
    yield Geom("box", (0.06 * size, half, 0.5 * size), (-half, 0, height + 0.5 * size), skin=1)
    yield from _legs(half - leg, leg, height)


def ring(rng: np.random.Generator, size: float) -> Iterator[Geom]:
    """A standing ring of short bars."""
    bar, radius = size * rng.uniform([0.08, 0.5], [0.18, 0.8])
    count = 14
    for angle in 2 * np.pi * np.arange(count) / count:
        middle = (radius * np.cos(angle), 0, radius + bar + radius * np.sin(angle))
        yield Geom("capsule", (bar, np.pi * radius / count), middle, (0, -angle, 0))


def _legs(reach: float, radius: float, height: float) -> Iterator[Geom]:
    for x in (-reach, reach):
        for y in (-reach, reach):
            yield Geom("cylinder", (radius, height / 2), (x, y, height / 2), skin=1)


SHAPES: dict[str, tuple[Shape, ...]] = {
    "train": (box, ball, can, roll, bottle, books, mug, stool),
    "test": (cone, prism, dumbbell, lamp, chair, ring),
}

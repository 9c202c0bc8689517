"""What a hand takes: book, hammer, screwdriver, dumbbell, ring, cube."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.objects.parts import LIGHT, MAIN, SECOND, Part, arc, ball, bar, block, disc, extruded, smooth, tube, turned

Random = np.random.Generator


def book(rng: Random) -> Iterator[Part]:
    """Standing upright: its title in front, its spine on the left, its pages on the other sides."""
    wide, tall, thick = rng.uniform(0.55, 0.8), 1.0, rng.uniform(0.1, 0.28)
    cover = 0.035
    for x in (-thick, thick):
        yield block((cover, wide, tall), (x, 0, tall))
    yield block((thick + cover, cover, tall), (0, -wide, tall))
    yield block((thick - cover / 2, wide - 0.06, tall - 0.07), (0, 0.01, tall), LIGHT)
    front = thick + cover + 0.004
    height = tall * rng.uniform(1.2, 1.6)
    yield block((0.004, wide * rng.uniform(0.5, 0.75), tall * rng.uniform(0.1, 0.2)), (front, 0, height), LIGHT)
    if rng.random() < 0.6:
        yield block(
            (0.004, wide * rng.uniform(0.3, 0.6), tall * rng.uniform(0.1, 0.25)), (front, 0, tall * 0.6), SECOND
        )


def hammer(rng: Random) -> Iterator[Part]:
    """Handle upright; the head's flat face in front, its claw or wedge behind."""
    long, grip = rng.uniform(1.4, 1.9), rng.uniform(0.07, 0.1)
    yield turned(
        [
            (0, 0),
            *smooth([(grip, 0), (grip * 1.25, long * 0.2), (grip * 0.75, long * 0.6), (grip * 0.8, long)]),
            (0, long),
        ]
    )
    head, reach = rng.uniform(0.12, 0.17), rng.uniform(0.4, 0.55)
    yield block((0.16, head, head), (0, 0, long), SECOND)
    yield bar((0.1, 0, long), (reach, 0, long), head * 0.75, SECOND, "cylinder")
    yield bar((reach - 0.03, 0, long), (reach + 0.12, 0, long), head * 1.15, SECOND, "cylinder")
    drop = rng.uniform(0.0, 0.25)
    claw = [(-0.1, long - head), (-0.1, long + head), (-reach * 0.6, long + head * 0.6), (-reach - 0.15, long - drop)]
    yield extruded(claw[::-1], head * 0.95, SECOND)


def screwdriver(rng: Random) -> Iterator[Part]:
    """Handle on top, a thin blade downwards."""
    long, grip = rng.uniform(0.9, 1.4), rng.uniform(0.13, 0.19)
    hand = rng.uniform(0.7, 0.9)
    outline = [
        (grip * 0.7, 0),
        (grip, hand * 0.12),
        (grip * 0.75, hand * 0.25),
        (grip, hand * 0.5),
        (grip, hand * 0.9),
        (grip * 0.5, hand),
    ]
    yield turned([(0, 0), *smooth(outline), (0, hand)])
    for i in range(6):
        angle = np.pi * i / 3
        place = (grip * np.cos(angle), grip * np.sin(angle))
        yield bar((*place, hand * 0.45), (*place, hand * 0.85), 0.025)
    shaft = rng.uniform(0.035, 0.055)
    yield bar((0, 0, 0.05), (0, 0, -long), shaft, SECOND, "cylinder")
    yield disc(shaft * 1.8, -0.06, 0.02, SECOND)
    tip = [(-shaft, -long), (-shaft * 1.6, -long - 0.1), (-0.5 * shaft, -long - 0.22)]
    yield extruded([*tip, *[(-x, z) for x, z in reversed(tip)]], shaft * 1.6, SECOND)


def dumbbell(rng: Random) -> Iterator[Part]:
    """Two weights on a bar that lies across."""
    reach, grip, weight = rng.uniform(0.7, 1.0), rng.uniform(0.08, 0.12), rng.uniform(0.35, 0.5)
    yield bar((0, -reach, 0), (0, reach, 0), grip, SECOND, "cylinder")
    style, plates = rng.integers(3), rng.integers(1, 4)
    for side in (-1, 1):
        if style == 0:
            yield ball(weight, (0, side * reach, 0))
        elif style == 1:
            for i in range(plates):
                start = reach - 0.24 * i
                yield bar(
                    (0, side * start, 0), (0, side * (start - 0.18), 0), weight * (1 - 0.18 * (i % 2)), MAIN, "cylinder"
                )
        else:
            angles = np.pi / 3 * np.arange(6)
            hexagon = [(weight * np.cos(a), weight * np.sin(a)) for a in angles]
            part = extruded(hexagon, 0.26, taper=0.82)
            yield Part("mesh", (), (0, side * (reach - 0.05), 0), MAIN, mesh=part.mesh)


def ring(rng: Random) -> Iterator[Part]:
    """A hoop that stands upright and is seen through from the front; most bear a stone."""
    thick = rng.uniform(0.08, 0.2)
    around = np.linspace(np.pi / 2, 2.5 * np.pi, 49)
    yield tube(arc((0, 0, 0), (1, 1), around[0], around[-1], 49), thick)
    if rng.random() < 0.75:
        stone, top = rng.uniform(0.22, 0.36), 1 + thick * 0.6
        sides = int(rng.choice([6, 8, 40]))
        yield turned(
            [(0, top), (stone, top + stone), (stone * 0.7, top + stone * 1.4), (0, top + stone * 1.4)],
            SECOND,
            sides=sides,
        )


def cube(rng: Random) -> Iterator[Part]:
    """A block of three equal sides; some have a frame of another colour."""
    yield block((1, 1, 1), (0, 0, 0))
    if rng.random() < 0.4:
        thick = rng.uniform(0.05, 0.12)
        for a in (-1, 1):
            for b in (-1, 1):
                for axis in range(3):
                    half, middle = np.full(3, thick), np.array([a, b], float)
                    half[axis] = 1 + thick
                    yield block(tuple(half), tuple(np.insert(middle, axis, 0.0)), SECOND)
    elif rng.random() < 0.4:  # a mark in front
        size = rng.uniform(0.3, 0.6)
        yield block((0.01, size, size), (1, 0, 0), LIGHT)

"""Things that hold something: mug, bowl, bottle, vase, teapot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.objects.parts import LIGHT, MAIN, SECOND, Part, arc, ball, hollow, smooth, tube, turned

Random = np.random.Generator


def mug(rng: Random) -> Iterator[Part]:
    """A cup whose handle is on the right, seen from the front."""
    height, foot, rim = rng.uniform(0.9, 1.5), rng.uniform(0.38, 0.55), rng.uniform(0.45, 0.55)
    belly = (foot + rim) / 2 + rng.uniform(-0.03, 0.1)
    yield turned(hollow(smooth([(foot, 0), (belly, height / 2), (rim, height)]), 0.05))
    reach, thick = rng.uniform(0.25, 0.38), rng.uniform(0.055, 0.085)
    middle = height * rng.uniform(0.48, 0.58)
    path = arc((0, belly - 0.05, middle), (reach + 0.05, height * rng.uniform(0.25, 0.34)), -np.pi / 2, np.pi / 2)
    yield tube(path, thick, MAIN if rng.random() < 0.7 else SECOND)
    if rng.random() < 0.35:  # a band
        low = height * rng.uniform(0.1, 0.6)
        wide = max(foot, belly, rim) + 0.006
        yield turned([(wide - 0.03, low), (wide, low + 0.01), (wide, low + 0.14), (wide - 0.03, low + 0.15)], SECOND)


def bowl(rng: Random) -> Iterator[Part]:
    """A wide open vessel on a foot."""
    height, rim, foot = rng.uniform(0.45, 0.8), 1.0, rng.uniform(0.3, 0.5)
    bulge = rng.uniform(0.65, 0.9)
    base = rng.uniform(0.02, 0.12)
    yield turned(
        hollow(
            [(foot, -base), (foot, 0), *smooth([(foot + 0.03, 0.01), (bulge, height * 0.45), (rim, height)])],
            rng.uniform(0.05, 0.09),
        )
    )


def bottle(rng: Random) -> Iterator[Part]:
    """A body with a narrow neck, a cap, and a label in front."""
    body, height = rng.uniform(0.26, 0.42), rng.uniform(0.9, 1.2)
    neck, top = rng.uniform(0.09, 0.14), height + rng.uniform(0.35, 0.8)
    shoulder = height + rng.uniform(0.15, 0.3)
    outline = [
        (body * 0.92, 0),
        (body, 0.05),
        (body, height * 0.98),
        (body * 0.9, height * 1.05),
        (neck, shoulder),
        (neck, top),
    ]
    yield turned([(0, 0), *smooth(outline, 40), (0, top)])
    yield turned([(0, top - 0.02), (neck + 0.03, top - 0.02), (neck + 0.03, top + 0.14), (0, top + 0.14)], SECOND)
    low, wide = height * rng.uniform(0.15, 0.3), rng.uniform(0.6, 1.1)
    high = low + height * rng.uniform(0.4, 0.55)
    label = [(body + 0.008, low), (body + 0.008, high)]
    yield turned(label, LIGHT, (-wide, wide))


def vase(rng: Random) -> Iterator[Part]:
    """A slender vessel with a belly and a lip."""
    height, foot, belly = rng.uniform(1.3, 1.9), rng.uniform(0.2, 0.35), rng.uniform(0.42, 0.62)
    where = rng.uniform(0.3, 0.62)
    neck, lip = rng.uniform(0.14, 0.24), rng.uniform(0.24, 0.4)
    outline = [(foot, 0), (belly, height * where), (neck, height * 0.86), (lip, height)]
    yield turned(hollow(smooth(outline, 30), 0.035))
    if rng.random() < 0.4:
        for side in (-1, 1):
            yield tube(arc((0, side * neck, height * 0.72), (side * 0.28, height * 0.14), -np.pi / 2, np.pi / 2), 0.04)


def teapot(rng: Random) -> Iterator[Part]:
    """A round pot: spout on the right, handle on the left, seen from the front."""
    wide, height = 0.62, rng.uniform(0.7, 1.05)
    top, foot = rng.uniform(0.28, 0.38), rng.uniform(0.3, 0.42)
    yield turned([(0, 0), *smooth([(foot, 0), (wide, height * 0.45), (top, height)]), (0, height)])
    look = MAIN if rng.random() < 0.6 else SECOND
    yield turned(
        [
            (top + 0.03, height - 0.01),
            *smooth([(top + 0.03, height), (top * 0.75, height + 0.09), (0.03, height + 0.15)], 10),
        ],
        look,
    )
    yield ball(rng.uniform(0.07, 0.1), (0, 0, height + 0.2), look)
    low, tip = height * rng.uniform(0.25, 0.4), height * rng.uniform(0.95, 1.1)
    t = np.linspace(0, 1, 16)[:, None]
    reach = np.array([[0, wide - 0.15, low], [0, wide + 0.25, low + 0.05], [0, wide + 0.42, tip]])
    spout = (1 - t) ** 2 * reach[0] + 2 * t * (1 - t) * reach[1] + t**2 * reach[2]
    yield tube(spout, np.linspace(0.17, 0.07, 16))
    path = arc((0, -wide + 0.12, height * 0.55), (-0.48, height * 0.32), -np.pi / 2, np.pi / 2)
    yield tube(path, rng.uniform(0.05, 0.07), look)

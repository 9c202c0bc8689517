"""What is seen outside, as toys: car, house, tree, duck."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.objects.parts import DARK, LIGHT, MAIN, SECOND, Part, ball, bar, block, extruded, turned

Random = np.random.Generator
BODIES = {  # of (x, z): windscreen's foot, roof's front, roof's back, rear window's foot
    "saloon": ((0.45, 0.0), (0.15, 1.0), (-0.45, 1.0), (-0.75, 0.0)),
    "hatchback": ((0.5, 0.0), (0.2, 1.0), (-0.75, 1.0), (-0.98, 0.0)),
    "van": ((0.85, 0.0), (0.6, 1.0), (-0.95, 1.0), (-0.98, 0.0)),
    "pickup": ((0.45, 0.0), (0.2, 1.0), (-0.15, 1.0), (-0.2, 0.0)),
}


def car(rng: Random) -> Iterator[Part]:
    """Bonnet and lights in front, red lights behind."""
    half, wide, low = 1.0, rng.uniform(0.4, 0.46), rng.uniform(0.16, 0.24)
    belt = low + rng.uniform(0.24, 0.34)
    roof = rng.uniform(0.28, 0.42)
    nose = rng.uniform(0.02, 0.1)
    hull = [
        (-half, low),
        (half, low),
        (half, belt - nose - 0.06),
        (half - 0.08, belt - nose),
        (0.4, belt),
        (-half + 0.04, belt),
        (-half, belt - 0.08),
    ]
    yield extruded(hull, wide)
    cabin = [(x, belt - 0.01 + z * roof) for x, z in BODIES[str(rng.choice(list(BODIES)))]]
    yield extruded(cabin, wide * 0.9)
    middle = np.mean(cabin, axis=0)
    panes = [tuple(middle + (0.8, 0.72) * (np.array(corner) - middle)) for corner in cabin]
    yield extruded(panes, wide * 0.9 + 0.006, DARK)
    for (x0, z0), (x1, z1) in ((cabin[0], cabin[1]), (cabin[3], cabin[2])):  # windscreen and rear window
        tilt = float(np.arctan2(x1 - x0, z1 - z0))
        place = ((x0 + x1) / 2, 0, (z0 + z1) / 2)
        yield block((0.012, wide * 0.78, 0.38 * float(np.hypot(x1 - x0, z1 - z0))), place, DARK, (0, tilt, 0))
    wheel = rng.uniform(0.17, 0.22)
    for x in (-0.6, 0.62):
        for y in (-1, 1):
            yield bar((x, y * (wide - 0.12), wheel), (x, y * (wide + 0.03), wheel), wheel, DARK, "cylinder")
            yield bar((x, y * wide, wheel), (x, y * (wide + 0.04), wheel), wheel * 0.5, LIGHT, "cylinder")
    for y in (-wide * 0.68, wide * 0.68):
        yield ball((0.03, 0.085, 0.065), (half, y, belt - nose - 0.13), LIGHT)
        yield block((0.012, 0.08, 0.045), (-half, y, belt - 0.13), SECOND)
    yield block((0.012, wide * 0.4, 0.05), (half, 0, low + 0.09), DARK)
    for x in (-half, half):
        yield block((0.03, wide * 0.98, 0.035), (x, 0, low + 0.02), DARK)


def house(rng: Random) -> Iterator[Part]:
    """Door and windows in front, fewer windows elsewhere, a roof of another colour."""
    deep, wide, tall = rng.uniform(0.6, 0.9), rng.uniform(0.7, 1.0), rng.uniform(0.5, 0.8)
    yield block((deep, wide, tall), (0, 0, tall))
    top, ridge, over = 2 * tall, rng.uniform(0.5, 0.9), 0.1
    if rng.random() < 0.5:  # the ridge runs from left to right
        yield extruded([(-deep - over, top - 0.06), (deep + over, top - 0.06), (0, top + ridge)], wide + over, SECOND)
    else:
        gable = extruded([(-wide - over, top - 0.06), (wide + over, top - 0.06), (0, top + ridge)], deep + over, SECOND)
        yield Part("mesh", (), (0, 0, 0), SECOND, (0, 0, np.pi / 2), gable.mesh)
    front = deep + 0.01
    door = rng.uniform(-0.15, 0.15) * wide
    yield block((0.02, 0.14, 0.3), (front, door, 0.3), DARK)
    for y in (door - wide * 0.55, door + wide * 0.55):
        if abs(y) < wide - 0.15:
            yield from _window(front, y, tall * rng.uniform(0.95, 1.05), 0)
    if tall > 0.62:
        for y in (-wide * 0.5, wide * 0.5):
            yield from _window(front, y, tall * 1.6, 0)
    for side in (-1, 1):
        yield from _window(wide + 0.01, 0, tall, side)
    if rng.random() < 0.6:
        yield block(
            (0.09, 0.09, 0.35), (-deep * 0.4, wide * 0.45, top + ridge * 0.75), DARK if rng.random() < 0.5 else MAIN
        )


def tree(rng: Random) -> Iterator[Part]:
    """A trunk under a crown of leaves, or under tiers of needles."""
    trunk, tall = rng.uniform(0.09, 0.16), rng.uniform(0.5, 0.9)
    yield bar((0, 0, 0), (0, 0, tall + 0.3), trunk, SECOND, "cylinder")
    if rng.random() < 0.4:
        tiers, low, wide = int(rng.integers(2, 5)), tall * 0.7, rng.uniform(0.55, 0.75)
        for i in range(tiers):
            radius, high = wide * (1 - 0.75 * i / tiers), rng.uniform(0.55, 0.7)
            yield turned([(0, low), (radius, low), (0, low + high)])
            low += high * 0.55
        return
    middle = tall + rng.uniform(0.35, 0.5)
    yield ball(rng.uniform([0.45, 0.45, 0.4], [0.65, 0.65, 0.7]), (0, 0, middle))
    for _ in range(rng.integers(3, 9)):
        way = rng.normal(size=3)
        place = 0.42 * way / np.linalg.norm(way) + (0, 0, middle)
        yield ball(rng.uniform(0.22, 0.4), tuple(place))


def duck(rng: Random) -> Iterator[Part]:
    """A toy duck: beak and eyes in front, tail behind."""
    long, wide, tall = rng.uniform(0.75, 0.95), rng.uniform(0.5, 0.62), rng.uniform(0.42, 0.52)
    yield ball((long, wide, tall), (0, 0, tall))
    head, x, z = rng.uniform(0.34, 0.44), long * rng.uniform(0.45, 0.6), 2 * tall + rng.uniform(0.2, 0.32)
    yield ball(head, (x, 0, z))
    yield ball(head * 0.75, (x * 0.9, 0, (z + tall) / 2 + 0.1))
    beak = rng.uniform(0.16, 0.24)
    yield ball((beak * 1.2, beak, beak * 0.45), (x + head + beak * 0.55, 0, z - head * 0.12), SECOND)
    for y in (-1, 1):
        yield ball(0.065, (x + head * 0.72, y * head * 0.52, z + head * 0.42), DARK)
        yield ball((long * 0.5, 0.1, tall * 0.5), (-0.12 * long, y * wide * 0.93, tall * 1.1), MAIN, (0, 0.2, 0))
    tail = turned([(0, 0), (0.24, 0.02), (0.12, 0.3), (0, 0.42)])
    yield Part("mesh", (), (-long * 0.8, 0, tall * 1.2), MAIN, (0, -0.9, 0), tail.mesh)


def _window(out: float, along: float, height: float, side: int) -> Iterator[Part]:
    """A pane in its frame: on the front (side 0), or on the left or right wall (-1, 1)."""
    for grow, look in ((0.04, LIGHT), (0.0, DARK)):
        half = (0.02 - grow / 4, 0.12 + grow, 0.13 + grow)
        if side == 0:
            yield block(half, (out, along, height), look)
        else:
            yield block((half[1], half[0], half[2]), (along, side * out, height), look)

"""What stands in a room: chair, stool, table, sofa, lamp, clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.objects.parts import DARK, LIGHT, MAIN, SECOND, Part, ball, bar, block, disc, turned

Random = np.random.Generator


def chair(rng: Random) -> Iterator[Part]:
    """Seat, legs, and a back behind."""
    deep, wide, height = rng.uniform(0.42, 0.5), rng.uniform(0.4, 0.52), rng.uniform(0.75, 1.0)
    thick, leg = rng.uniform(0.04, 0.08), rng.uniform(0.035, 0.06)
    legs = SECOND if rng.random() < 0.3 else MAIN
    yield block((deep, wide, thick), (0, 0, height))
    yield from _legs(rng, deep - leg, wide - leg, leg, height, legs)
    back, lean = rng.uniform(0.8, 1.2), rng.uniform(0, 0.12)
    top = height + back

    def behind(part: float) -> float:
        return -deep + 0.05 - lean * part

    posts = wide - leg
    style = rng.integers(3)
    if style == 0:
        yield block((0.04, wide, back / 2), (behind(0.5), 0, height + back / 2), euler=(0, -lean / back, 0))
        return
    for y in (-posts, posts):
        yield bar((behind(0), y, height), (behind(1), y, top), leg * 1.1)
    if style == 1:
        for part in np.linspace(0.4, 0.95, rng.integers(2, 4)):
            yield block((0.035, posts, 0.09), (behind(part), 0, height + part * back))
    else:
        yield block((0.045, wide, 0.08), (behind(0.95), 0, top - 0.05))
        for y in np.linspace(-posts, posts, rng.integers(4, 7))[1:-1]:
            yield bar((behind(0), y, height), (behind(0.95), y, top - 0.06), 0.03)
    if rng.random() < 0.25:  # arms
        for y in (-wide, wide):
            yield block((deep * 0.8, 0.05, 0.035), (-0.05, y, height + 0.42))
            yield bar((deep * 0.65, y, height), (deep * 0.65, y, height + 0.42), 0.035)


def stool(rng: Random) -> Iterator[Part]:
    """A seat without a back."""
    height, half, thick = rng.uniform(0.8, 1.5), rng.uniform(0.38, 0.5), rng.uniform(0.05, 0.1)
    legs = SECOND if rng.random() < 0.3 else MAIN
    if rng.random() < 0.6:
        yield disc(half, height - thick, height + thick)
    else:
        yield block((half, half, thick), (0, 0, height))
    count, leg, spread = rng.integers(3, 5), rng.uniform(0.035, 0.06), rng.uniform(0.0, 0.22)
    inner, outer = half * 0.68, half * 0.68 + spread
    rung, level = rng.uniform(0.25, 0.45), []
    for i in range(count):
        way = np.array([np.cos(2 * np.pi * (i + 0.5) / count), np.sin(2 * np.pi * (i + 0.5) / count)])
        yield bar((*inner * way, height), (*outer * way, 0), leg, legs)
        level.append((*((1 - rung) * outer + rung * inner) * way, rung * height))
    for start, end in zip(level, [*level[1:], level[0]], strict=True):
        yield bar(start, end, leg * 0.7, legs)


def table(rng: Random) -> Iterator[Part]:
    """A top on legs or on a column; some with a drawer in front."""
    height, thick = rng.uniform(0.75, 1.05), rng.uniform(0.035, 0.06)
    legs = SECOND if rng.random() < 0.3 else MAIN
    if rng.random() < 0.3:
        top = rng.uniform(0.75, 1.0)
        yield disc(top, height - thick, height + thick)
        yield bar((0, 0, 0.05), (0, 0, height), rng.uniform(0.06, 0.12), legs)
        yield turned([(0, 0), (0.5, 0), (0.5, 0.04), (0.12, 0.14), (0, 0.14)], legs)
        return
    deep, wide, leg = rng.uniform(0.55, 0.75), rng.uniform(0.8, 1.15), rng.uniform(0.045, 0.08)
    yield block((deep, wide, thick), (0, 0, height))
    yield from _legs(rng, deep - 1.5 * leg, wide - 1.5 * leg, leg, height, legs)
    if rng.random() < 0.5:
        yield block((deep - 0.08, wide * 0.6, 0.12), (0, 0, height - 0.12))
        yield block((0.02, wide * 0.5, 0.08), (deep - 0.08, 0, height - 0.12), LIGHT)
        yield ball(0.045, (deep - 0.03, 0, height - 0.12), DARK)


def sofa(rng: Random) -> Iterator[Part]:
    """A wide padded seat between arms, with a back behind."""
    wide, deep, seat = rng.uniform(0.9, 1.3), rng.uniform(0.42, 0.5), rng.uniform(0.2, 0.28)
    back, arm = rng.uniform(0.4, 0.55), rng.uniform(0.12, 0.2)
    foot = rng.uniform(0.05, 0.14)
    yield block((deep, wide, seat / 2), (0, 0, foot + seat / 2))
    yield block((0.14, wide, (seat + back) / 2), (-deep + 0.1, 0, foot + (seat + back) / 2))
    top, rounded = foot + seat + rng.uniform(0.12, 0.25), rng.random() < 0.5
    for y in (-wide, wide):
        yield block((deep, arm, (top - foot) / 2), (0, y, (top + foot) / 2))
        if rounded:
            yield bar((-deep, y, top), (deep, y, top), arm, kind="cylinder")
    cushions = rng.integers(2, 4)
    half = wide / cushions
    padding = MAIN if rng.random() < 0.7 else SECOND
    for i in range(cushions):
        y = (2 * i + 1 - cushions) * half * (1 - arm / wide)
        yield ball((deep * 0.75, half * 0.98, 0.14), (0.12, y, foot + seat + 0.03), padding)
        yield ball((0.12, half * 0.95, back * 0.45), (-deep + 0.26, y, foot + seat + back * 0.5), padding)
    for x in (-deep * 0.8, deep * 0.8):
        for y in (-wide * 0.95, wide * 0.95):
            yield bar((x, y, 0), (x, y, foot), 0.05, DARK)


def lamp(rng: Random) -> Iterator[Part]:
    """A shade on a pole, upright, or hanging forwards from a bent one."""
    height, pole, foot = rng.uniform(1.0, 1.7), rng.uniform(0.03, 0.05), rng.uniform(0.28, 0.4)
    yield turned([(0, 0), (foot, 0), (foot, 0.05), (0.06, 0.1 + rng.uniform(0, 0.12)), (0, 0.2)], SECOND)
    low, high, tall = rng.uniform(0.38, 0.55), rng.uniform(0.18, 0.36), rng.uniform(0.4, 0.6)
    if rng.random() < 0.6:
        yield bar((0, 0, 0.05), (0, 0, height + 0.1), pole, SECOND)
        yield turned(_shade(low, high, height - tall / 2, tall))
        yield ball(0.12, (0, 0, height - 0.05), LIGHT)
        return
    elbow = (-0.3, 0, height * 0.6)
    tip = (0.3, 0, height)
    yield bar((0, 0, 0.05), elbow, pole, SECOND)
    yield bar(elbow, tip, pole, SECOND)
    yield ball(pole * 1.8, elbow, DARK)
    shade = turned(_shade(low * 0.8, 0.1, -tall * 0.7, tall * 0.8))
    tilt = (0.0, -rng.uniform(0.3, 0.8), 0.0)
    yield Part("mesh", (), tip, MAIN, tilt, shade.mesh)
    yield ball(0.1, (tip[0] + 0.1, 0, tip[2] - tall * 0.5), LIGHT)


def clock(rng: Random) -> Iterator[Part]:
    """A round case with a light face and hands in front, on two feet."""
    radius, deep = 1.0, rng.uniform(0.14, 0.3)
    rim = rng.uniform(0.1, 0.2)
    yield bar((-deep, 0, 0), (deep, 0, 0), radius, kind="cylinder")
    face = deep + 0.02
    yield bar((deep, 0, 0), (face, 0, 0), radius - rim, LIGHT, "cylinder")
    for hour in range(12):
        angle, far = np.pi * hour / 6, radius - rim - 0.1
        size = 0.055 if hour % 3 == 0 else 0.03
        yield ball((0.02, size, size), (face, far * np.sin(angle), far * np.cos(angle)), DARK)
    for length, thick in ((0.45, 0.05), (0.68, 0.035)):
        angle = rng.uniform(0, 2 * np.pi)
        yield bar((face, 0, 0), (face, length * np.sin(angle), length * np.cos(angle)), thick, DARK)
    if rng.random() < 0.5:  # bells
        for y in (-0.5, 0.5):
            yield ball((0.2, 0.28, 0.2), (0, y, 1.0), SECOND)
    for y in (-0.6, 0.6):
        yield bar((0, y * 0.9, -0.7), (0, y * 1.3, -1.2), 0.09, SECOND)


def _shade(low: float, high: float, bottom: float, tall: float) -> list[tuple[float, float]]:
    outside = [(low, bottom), (high, bottom + tall)]
    return [*outside, (high - 0.02, bottom + tall), (low - 0.02, bottom), (low, bottom)]


def _legs(rng: Random, deep: float, wide: float, leg: float, height: float, look: int) -> Iterator[Part]:
    splay, square = rng.uniform(0, 0.1), rng.random() < 0.5
    for x in (-1, 1):
        for y in (-1, 1):
            if square:
                yield block((leg, leg, height / 2), (x * deep, y * wide, height / 2), look)
            else:
                yield bar((x * deep, y * wide, height), (x * (deep + splay), y * (wide + splay), 0), leg, look)

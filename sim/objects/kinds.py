"""The kinds of objects, and what each can be made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sim.objects import furniture, outdoors, tools, vessels
from sim.objects.looks import COLOURS
from sim.objects.parts import Part

ANY = tuple(COLOURS)
NEUTRAL = ("grey", "black", "white", "brown")
STEEL = ("grey", "black")
LEAVES = ("green", "green", "green", "yellow", "orange", "red", "pink")


@dataclass(frozen=True)
class Kind:
    """make: the parts of a random one. materials: words of sim.objects.looks.MATERIALS that its caption may name.

    colours: words of COLOURS, to be drawn from. second, seconds: material and colours of what has another colour.
    """

    make: Callable[[np.random.Generator], Iterator[Part]]
    materials: tuple[str, ...]
    colours: tuple[str, ...] = ANY
    second: str = "plastic"
    seconds: tuple[str, ...] = NEUTRAL


KINDS: dict[str, Kind] = {
    "mug": Kind(vessels.mug, ("ceramic", "metal", "plastic", "wooden"), second="ceramic", seconds=ANY),
    "bowl": Kind(vessels.bowl, ("ceramic", "metal", "plastic", "wooden"), seconds=ANY),
    "bottle": Kind(vessels.bottle, ("plastic", "metal", "ceramic"), seconds=ANY),
    "vase": Kind(vessels.vase, ("ceramic", "metal", "stone", "wooden")),
    "teapot": Kind(vessels.teapot, ("ceramic", "metal"), second="ceramic", seconds=ANY),
    "chair": Kind(furniture.chair, ("wooden", "metal", "plastic"), second="metal"),
    "stool": Kind(furniture.stool, ("wooden", "metal", "plastic"), second="metal"),
    "table": Kind(furniture.table, ("wooden", "metal", "plastic", "stone"), second="wooden"),
    "sofa": Kind(furniture.sofa, ("leather", "cloth"), second="cloth", seconds=ANY),
    "lamp": Kind(furniture.lamp, ("cloth", "metal", "plastic"), second="metal"),
    "clock": Kind(furniture.clock, ("wooden", "metal", "plastic"), second="metal"),
    "book": Kind(tools.book, ("leather", "cloth"), seconds=ANY),
    "hammer": Kind(tools.hammer, ("wooden", "plastic"), second="metal", seconds=STEEL),
    "screwdriver": Kind(tools.screwdriver, ("wooden", "plastic"), second="metal", seconds=STEEL),
    "dumbbell": Kind(tools.dumbbell, ("metal", "plastic"), second="metal", seconds=STEEL),
    "ring": Kind(tools.ring, ("metal", "plastic", "wooden"), seconds=ANY),
    "cube": Kind(tools.cube, ("wooden", "metal", "plastic", "stone", "ceramic"), seconds=ANY),
    "car": Kind(outdoors.car, ("metal", "plastic", "wooden"), seconds=("red",)),
    "house": Kind(
        outdoors.house, ("wooden", "stone", "plastic"), second="ceramic", seconds=("red", "brown", "grey", "black")
    ),
    "tree": Kind(outdoors.tree, ("plastic", "wooden"), LEAVES, second="wooden", seconds=("brown",)),
    "duck": Kind(outdoors.duck, ("plastic", "wooden", "ceramic"), seconds=("orange", "yellow", "red")),
}

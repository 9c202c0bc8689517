"""Rooms full of random things, as MuJoCo models: what a depth model is trained on besides the robot's own scenes."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from sim.rgbd.scene import Scene, add_lights, add_view, text
from sim.rgbd.shapes import SHAPES, Geom
from sim.rgbd.skins import skin

SKINS = 8  # patterns of one scene, shared among its surfaces
CONE_SIDES = 24
Element = ET.Element


def random_room(split: str, rng: np.random.Generator) -> Scene:
    """Floor, up to four walls, often a table, and 4 to 14 things of the split ("train" or "test") on it."""
    assets = {f"skin{number}.png": skin(rng, split) for number in range(SKINS)}
    root = ET.Element("mujoco")
    ET.SubElement(ET.SubElement(root, "default"), "geom", group="1")  # the group that Camera draws
    asset, world = ET.SubElement(root, "asset"), ET.SubElement(root, "worldbody")
    _add_skins(asset, rng)
    builder = _Builder(asset, world, rng)
    height = builder.surroundings()
    radius = builder.things(split, height)
    add_view(root, world, rng)
    return Scene(ET.tostring(root, encoding="unicode"), assets, np.array([0, 0, height]), radius)


def _add_skins(asset: Element, rng: np.random.Generator) -> None:
    """For each picture a material for things, wrapped around them, and one for planes and walls."""
    for number in range(SKINS):
        picture = {"file": f"skin{number}.png"}
        look = {"specular": f"{rng.uniform(0, 0.6):.2f}", "shininess": f"{rng.uniform(0, 0.9):.2f}"}
        ET.SubElement(asset, "texture", name=f"cube{number}", type="cube", **picture)
        ET.SubElement(asset, "texture", name=f"flat{number}", type="2d", **picture)
        ET.SubElement(asset, "material", name=f"thing{number}", texture=f"cube{number}", **look)
        repeat = f"{rng.uniform(0.5, 3):.2f}"
        flat = {"texture": f"flat{number}", "texrepeat": f"{repeat} {repeat}", "texuniform": "true"}
        ET.SubElement(asset, "material", name=f"wall{number}", **flat)


class _Builder:
    """Adds geoms to a world; every random number comes from one generator."""

    def __init__(self, asset: Element, world: Element, rng: np.random.Generator) -> None:
        self._asset, self._world, self._rng = asset, world, rng
        self._meshes = 0

    def surroundings(self) -> float:
        """Floor, walls, table and lights; returns the height on which things stand."""
        rng = self._rng
        wall = rng.integers(SKINS, size=3)
        half = rng.uniform(1.5, 4.0, 2)
        self._plain("plane", (*half, 0.1), (0, 0, 0), f"wall{wall[0]}")
        top = rng.uniform(2.2, 3.5)
        for axis, side in ((0, -1), (0, 1), (1, -1), (1, 1)):
            if rng.random() < 0.85:
                along, place, axes = 1 - axis, np.array([0, 0, top / 2]), np.zeros(6)
                place[axis] = side * (half[axis] + 0.05)
                axes[[along, 5]] = 1  # its own z is the thin way: a flat pattern lies on its x and y
                self._plain("box", (half[along], top / 2, 0.05), place, f"wall{wall[1]}", xyaxes=text(axes))
        add_lights(self._world, rng, half, top)
        if rng.random() < 0.35:
            return 0.0
        height, reach, leg = rng.uniform(0.4, 1.0), rng.uniform(0.35, 0.7, 2), 0.03
        self._plain("box", (*reach, 0.02), (0, 0, height - 0.02), f"thing{wall[2]}")
        for x in (-1, 1):
            for y in (-1, 1):
                place = (x * (reach[0] - leg), y * (reach[1] - leg), height / 2 - 0.02)
                self._plain("cylinder", (leg, height / 2 - 0.02), place, f"thing{wall[2]}")
        return float(height)

    def things(self, split: str, height: float) -> float:
        """Things beside each other at this height; returns the radius of the disc they stand on."""
        rng = self._rng
        radius = float(rng.uniform(0.3, 0.5) if height else rng.uniform(0.5, 1.2))
        taken: list[tuple[NDArray[np.float64], float]] = []
        for _ in range(rng.integers(4, 15)):
            size = radius * rng.uniform(0.1, 0.4)
            for _ in range(10):  # tries to find room
                place = radius * np.sqrt(rng.random()) * _direction(rng.uniform(0, 2 * np.pi))
                if all(np.linalg.norm(place - other) > size + reach for other, reach in taken):
                    break
            else:
                continue
            taken.append((place, size))
            shape = SHAPES[split][rng.integers(len(SHAPES[split]))]
            yaw, skins = np.degrees(rng.uniform(0, 2 * np.pi)), rng.integers(SKINS, size=3)
            body = ET.SubElement(self._world, "body", pos=text((*place, height)), euler=f"0 0 {yaw:.2f}")
            for geom in shape(rng, size):
                self._add(body, geom, f"thing{skins[geom.skin]}")
        return radius

    def _add(self, parent: Element, geom: Geom, material: str) -> None:
        what = {"type": geom.kind, "size": text(geom.size)}
        if geom.kind in ("cone", "prism"):
            what = {"type": "mesh", "mesh": self._mesh(geom)}
        euler = text(np.degrees(geom.euler))
        ET.SubElement(parent, "geom", **what, pos=text(geom.position), euler=euler, material=material)

    def _mesh(self, geom: Geom) -> str:
        """The convex hull of a circle with a tip, or of two triangles, about the middle of its height."""
        radius, half = geom.size
        sides = CONE_SIDES if geom.kind == "cone" else 3
        circle = [(*radius * _direction(2 * np.pi * i / sides), -half) for i in range(sides)]
        top = [(0.0, 0.0, half)] if geom.kind == "cone" else [(x, y, half) for x, y, _ in circle]
        self._meshes += 1
        name = f"mesh{self._meshes}"
        ET.SubElement(self._asset, "mesh", name=name, vertex=text(np.ravel([*circle, *top])))
        return name

    def _plain(self, kind: str, size: Any, place: Any, material: str, **more: str) -> None:
        ET.SubElement(self._world, "geom", type=kind, size=text(size), pos=text(place), material=material, **more)


def _direction(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])

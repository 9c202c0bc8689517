"""A scene as MuJoCo loads it, with one free camera and the lights it is drawn by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

CAMERA = "view"
SKY = 20.0  # m: what is farther is not drawn
FOVY = (40.0, 75.0)  # degrees
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A scene and where its things are: within `radius` (m) of `focus` (3,).

    xml and assets: what MuJoCo loads, with a camera called CAMERA; qpos: where its joints are, if not where they begin.
    """

    xml: str
    assets: dict[str, bytes] = field(repr=False)
    focus: Array
    radius: float
    qpos: Array | None = field(default=None, repr=False)

    def load(self) -> tuple[Any, Any]:
        """The mujoco.MjModel and its MjData, bodies and lights in place."""
        import mujoco

        model = mujoco.MjModel.from_xml_string(self.xml, self.assets)
        data = mujoco.MjData(model)
        if self.qpos is not None:
            data.qpos[:] = self.qpos
        mujoco.mj_forward(model, data)
        return model, data


def add_view(root: ET.Element, world: ET.Element, rng: np.random.Generator) -> None:
    """The camera, with a random angle of view, what it can see, and a little light from where it stands."""
    visual = ET.SubElement(root, "visual")
    # what is nearer than 1 cm or farther than SKY is cut off; these are in units of statistic.extent
    ET.SubElement(visual, "map", znear="0.01", zfar=text([SKY]))
    ET.SubElement(visual, "quality", shadowsize="1024")  # a quarter of the usual: most of the time without a GPU
    ambient, diffuse = rng.uniform([0.15, 0.1], [0.4, 0.5])
    ET.SubElement(visual, "headlight", ambient=text([ambient] * 3), diffuse=text([diffuse] * 3))
    ET.SubElement(root, "statistic", extent="1", center="0 0 0")
    ET.SubElement(world, "camera", name=CAMERA, pos="0 0 1", fovy=text([rng.uniform(*FOVY)]))


def add_lights(world: ET.Element, rng: np.random.Generator, reach: Any, top: float) -> None:
    """One to three lamps within `reach` (2,) m of the middle, 1.2 m to `top` high, that shine to the middle."""
    for _ in range(rng.integers(1, 4)):
        place = np.array([*rng.uniform(-1, 1, 2) * reach, rng.uniform(1.2, top)])
        shine = rng.uniform(0.3, 0.8) * rng.uniform(0.7, 1, 3)
        ET.SubElement(world, "light", pos=text(place), dir=text(-place), diffuse=text(shine))


def text(numbers: Any) -> str:
    """Numbers as MJCF writes them."""
    return " ".join(f"{number:.5g}" for number in numbers)

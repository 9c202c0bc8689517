"""An object as robosuite loads it: MJCF with a body "object", hulls that collide, and one mesh that is seen."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from psr_mesh.colours import OBJ, PNG

# What robosuite's own objects have: they grip well, and do not sink into the table.
CONTACT = {"friction": "0.95 0.3 0.1", "solref": "0.001 1", "solimp": "0.998 0.998 0.001", "condim": "4"}


def object_mjcf(hulls: Mapping[str, float], lower: NDArray[np.floating], upper: NDArray[np.floating]) -> str:
    """hulls: file -> mass in kg; lower, upper (3,): the object's extent in m from its centre of mass, the origin.

    Collision geoms are in group 0, the visual one, which weighs nothing, in group 1; joints are whoever loads it's
    to add. Source: the form of robosuite's objects (models/assets/objects).
    """
    root = ET.Element("mujoco", model="object")
    ET.SubElement(root, "compiler", angle="radian")
    asset = ET.SubElement(root, "asset")
    ET.SubElement(asset, "texture", name="surface", type="2d", file=PNG)
    ET.SubElement(asset, "material", name="surface", texture="surface", specular="0.1", shininess="0.1")
    ET.SubElement(asset, "mesh", name="visual", file=OBJ)
    outer = ET.SubElement(ET.SubElement(root, "worldbody"), "body")
    body = ET.SubElement(outer, "body", name="object")
    for number, (file, mass) in enumerate(hulls.items()):
        name = f"hull{number}"
        ET.SubElement(asset, "mesh", name=name, file=file, inertia="convex")
        ET.SubElement(body, "geom", name=name, type="mesh", mesh=name, group="0", mass=f"{mass:.9g}", **CONTACT)
    unseen = {"contype": "0", "conaffinity": "0", "mass": "0"}
    ET.SubElement(body, "geom", name="visual", type="mesh", mesh="visual", material="surface", group="1", **unseen)
    half = np.maximum(-lower, upper)
    sites = {
        "bottom_site": (0, 0, lower[2]),
        "top_site": (0, 0, upper[2]),
        "horizontal_radius_site": (half[0], half[1], 0),
    }
    for name, place in sites.items():
        ET.SubElement(outer, "site", name=name, pos=" ".join(f"{x:.7g}" for x in place), size="0.005", rgba="0 0 0 0")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"

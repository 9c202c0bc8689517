"""The robot's own scenes with other looks: robosuite's tasks, the arms anywhere, random surfaces and lamps.

The test set shows other tasks, so other objects and fixtures, with other patterns. The arm is a Panda in both.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from sim.env import SimEnv
from sim.rgbd.scene import Array, Scene, add_lights, add_view, text
from sim.rgbd.skins import skin

TASKS = {"train": ("Lift", "Can", "Square"), "test": ("ToolHang", "Transport")}
RADIUS = 0.45  # m, of what is looked at, about one of the task's objects
ARM_SPREAD = 0.4  # rad, standard deviation of an arm's joints
DEEPEST_CONTACT = 0.005  # m
ARM_TRIES = 20
LAMPS = (2.0, 2.8)  # m: how far from the middle, and how high they may hang
_HIDDEN_GROUP = "5"  # of sites: Camera draws groups 0 to 2


class RobotScenes:
    """Makes scenes; keeps one simulator for each task, as making one takes seconds."""

    def __init__(self) -> None:
        self._envs: dict[str, SimEnv] = {}

    def random_scene(self, split: str, rng: np.random.Generator) -> tuple[str, Scene]:
        """The name of a task of the split ("train" or "test"), and its scene in one of its initial states."""
        task = str(rng.choice(TASKS[split]))
        if task not in self._envs:
            self._envs[task] = SimEnv(task)
        env = self._envs[task]
        seen = env.reset(int(rng.integers(2**32)))
        root = ET.fromstring(env.model_xml())
        assets = _dress(root, split, rng)
        world = root.find("worldbody")
        assert world is not None
        for lamp in world.findall("light"):
            world.remove(lamp)
        add_lights(world, rng, LAMPS[0], LAMPS[1])
        add_view(root, world, rng)
        middle = list(seen.objects.values())[rng.integers(len(seen.objects))][0]
        xml = ET.tostring(root, encoding="unicode")
        return task, Scene(xml, assets, middle, RADIUS, _random_arms(xml, assets, env.state(), rng))

    def close(self) -> None:
        """Free the simulators."""
        for env in self._envs.values():
            env.close()


def _dress(root: ET.Element, split: str, rng: np.random.Generator) -> dict[str, bytes]:
    """Gives every texture a pattern of the split, every other material a random colour or its own; the pictures."""
    assets = {}
    for number, texture in enumerate(root.iter("texture")):
        if texture.get("type") != "skybox":
            kept = {name: texture.attrib[name] for name in ("name", "type")}
            texture.attrib = {**kept, "file": f"skin{number}.png"}
            assets[f"skin{number}.png"] = skin(rng, split)
    for material in root.iter("material"):
        material.attrib.pop("reflectance", None)  # mirrors would be drawn twice
        if "texture" in material.attrib:
            material.set("texrepeat", text([rng.uniform(0.5, 3)] * 2))
        elif rng.random() < 0.5:
            material.set("rgba", text([*rng.uniform(0, 1, 3), 1]))
    for thing in (*root.iter("material"), *root.iter("geom")):
        _make_opaque(thing)
    for site in root.iter("site"):
        site.set("group", _HIDDEN_GROUP)  # marks that no real camera sees
    return assets


def _make_opaque(thing: ET.Element) -> None:
    """Of what is seen through, such as a bin of glass, an image does not say which of two depths is meant."""
    colour = [float(part) for part in thing.get("rgba", "1 1 1 1").split()]
    if 0 < colour[3] < 1:
        thing.set("rgba", text([*colour[:3], 1]))


def _random_arms(xml: str, assets: dict[str, bytes], state: Array, rng: np.random.Generator) -> Array:
    """The state's joint positions with the arms and fingers moved to where nothing is pushed into another thing.

    After ARM_TRIES poses that do, the state's own.
    """
    import mujoco

    model = mujoco.MjModel.from_xml_string(xml, assets)
    data = mujoco.MjData(model)
    start = state[1 : 1 + model.nq]
    for _ in range(ARM_TRIES):
        data.qpos[:] = start
        for number in range(model.njnt):
            if model.joint(number).name.startswith(("robot", "gripper")):
                _move_joint(model, data, number, rng)
        mujoco.mj_forward(model, data)
        if data.contact.dist.min(initial=0) > -DEEPEST_CONTACT:
            return np.array(data.qpos)
    return np.array(start)


def _move_joint(model: Any, data: Any, number: int, rng: np.random.Generator) -> None:
    place, (low, high) = model.jnt_qposadr[number], model.jnt_range[number]
    if model.joint(number).name.startswith("gripper"):
        data.qpos[place] = rng.uniform(low, high)
    else:
        data.qpos[place] = np.clip(data.qpos[place] + rng.normal(0, ARM_SPREAD), low, high)

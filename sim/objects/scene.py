"""One random object before a light background, as a MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from sim.objects.kinds import KINDS, NEUTRAL, Kind
from sim.objects.looks import MATERIALS, random_tint, texture
from sim.objects.parts import DARK, LIGHT, MAIN, SECOND, Array, Part
from sim.rgbd.scene import CAMERA, Scene, text

FOVY = (30.0, 45.0)  # degrees
FAR = 100.0  # what is farther than this is not drawn
Element = ET.Element


@dataclass(frozen=True)
class ObjectScene:
    """A scene that shows one object, and the words for it."""

    scene: Scene
    kind: str
    colour: str
    material: str


def random_object(kind: str, rng: np.random.Generator) -> ObjectScene:
    """An object of this kind, in a random shape, colour and material, under random lamps."""
    what = KINDS[kind]
    colour, material = str(rng.choice(what.colours)), str(rng.choice(what.materials))
    parts = list(what.make(rng))
    points = np.concatenate([part.points() for part in parts])
    focus = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - focus, axis=1).max())
    root = ET.Element("mujoco")
    _add_surroundings(root, rng)
    asset, world = ET.SubElement(root, "asset"), ET.SubElement(root, "worldbody")
    sky = rng.uniform(0.80, 0.95) * (1 - rng.uniform(0, 0.03, 3))
    shades = {"rgb1": text(sky), "rgb2": text(sky * rng.uniform(0.9, 1.0))}
    ET.SubElement(asset, "texture", type="skybox", builtin="gradient", width="64", height="64", **shades)
    assets = _add_looks(asset, rng, what, colour, material)
    for number, part in enumerate(parts):
        _add_part(asset, world, part, number)
    _add_lamps(world, rng)
    fovy = rng.uniform(*FOVY)
    ET.SubElement(world, "camera", name=CAMERA, pos="0 0 1", fovy=text([fovy]))
    return ObjectScene(Scene(ET.tostring(root, encoding="unicode"), assets, focus, radius), kind, colour, material)


def _add_surroundings(root: Element, rng: np.random.Generator) -> None:
    ET.SubElement(root, "compiler", angle="radian")
    visual = ET.SubElement(root, "visual")
    ET.SubElement(visual, "map", znear="0.01", zfar=text([FAR]))
    # no lamp casts a shadow
    ET.SubElement(visual, "quality", offsamples="4", shadowsize="0", numslices="24", numstacks="12")
    ambient, diffuse = rng.uniform([0.25, 0.1], [0.4, 0.3])
    ET.SubElement(visual, "headlight", ambient=text([ambient] * 3), diffuse=text([diffuse] * 3), specular="0.1 0.1 0.1")
    ET.SubElement(root, "statistic", extent="1", center="0 0 0")
    default = ET.SubElement(root, "default")
    ET.SubElement(default, "geom", group="1", contype="0", conaffinity="0")  # the group that Camera draws


def _add_looks(asset: Element, rng: np.random.Generator, kind: Kind, colour: str, material: str) -> dict[str, bytes]:
    """Materials look0 to look3; only the first is what the caption says."""
    seconds = [name for name in kind.seconds if name != colour] or list(NEUTRAL)
    looks = {
        MAIN: (random_tint(rng, colour), MATERIALS[material]),
        SECOND: (random_tint(rng, str(rng.choice(seconds))), MATERIALS[kind.second]),
        LIGHT: (random_tint(rng, "white"), MATERIALS["plastic"]),
        DARK: (random_tint(rng, "black"), MATERIALS["plastic"]),
    }
    assets = {}
    for look, (tint, stuff) in looks.items():
        assets[f"look{look}.png"] = texture(rng, tint, stuff)
        ET.SubElement(asset, "texture", name=f"look{look}", type="cube", file=f"look{look}.png")
        shine = {"specular": text([stuff.specular]), "shininess": text([stuff.shininess])}
        ET.SubElement(asset, "material", name=f"look{look}", texture=f"look{look}", **shine)
    return assets


def _add_part(asset: Element, world: Element, part: Part, number: int) -> None:
    what = {"type": part.kind, "material": f"look{part.look}"}
    if part.mesh is not None:
        faces = " ".join(map(str, part.mesh.faces.ravel()))
        what["mesh"] = f"mesh{number}"
        vertices = text(part.mesh.vertices.ravel())
        ET.SubElement(asset, "mesh", name=what["mesh"], vertex=vertices, face=faces, inertia="shell")
    else:
        what["size"] = text(part.size)
    if len(part.place) == 6:
        what["fromto"] = text(part.place)
    else:
        what |= {"pos": text(part.place), "euler": text(part.euler)}
    ET.SubElement(world, "geom", **what)


def _add_lamps(world: Element, rng: np.random.Generator) -> None:
    """One to three, above and around, far away and without shadows, which would take most of the time."""
    for number in range(rng.integers(1, 4)):
        azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.4)
        way = -np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        shine = rng.uniform(0.3, 0.6) / (1 + 0.5 * number) * rng.uniform(0.9, 1, 3)
        look = {"dir": text(way), "diffuse": text(shine), "specular": text(shine * 0.8)}
        ET.SubElement(world, "light", pos=text(-10 * way), directional="true", castshadow="false", **look)


def framing(
    scene: Scene, azimuth: float, elevation: float, fill: float, offset: Array, fovy: float
) -> tuple[Array, Array]:
    """Where a camera stands, and at what it looks, to see the object from an azimuth and an elevation in degrees.

    fill: share of the picture's half height that the object's radius takes. offset (3,): of what is looked at, in
    radii. fovy: degrees.
    """
    a, e = np.radians([azimuth, elevation])
    way = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    distance = scene.radius / np.sin(np.arctan(fill * np.tan(np.radians(fovy) / 2)))
    target = scene.focus + scene.radius * offset
    return target + distance * way, target

"""Objects from files: MJCF in robosuite's form, put onto a floor to be dropped or looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from sim.rendering import Camera, CameraConfig
from sim.rgbd.scene import CAMERA
from sim.rgbd.views import look_at

FOVY = 35.0  # degrees
FILL = 0.9  # of a picture's half height, by the object's radius
OBJECT, MJCF = "object", "object.xml"
COLLISION, VISUAL = 0, 1  # groups of geoms
Array = NDArray[np.float64]
# The floor's friction is that of robosuite's tables.
_SURROUNDINGS = f"""
<mujoco>
  <compiler angle="radian"/>
  <option integrator="implicitfast"/>
  <visual>
    <map znear="0.001" zfar="100"/>
    <quality shadowsize="1024"/>
    <headlight ambient="0.4 0.4 0.4" diffuse="0.5 0.5 0.5"/>
  </visual>
  <statistic extent="1" center="0 0 0"/>
  <asset><texture name="sky" type="skybox" builtin="flat" width="16" height="96" rgb1="0.85 0.85 0.83"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1" group="{VISUAL}" rgba="0.85 0.85 0.83 1" friction="1 0.005 0.0001"/>
    <light pos="0.5 -0.7 2" dir="-0.25 0.35 -1" diffuse="0.4 0.4 0.4"/>
    <camera name="{CAMERA}" pos="0 0 1" fovy="{FOVY}"/>
  </worldbody>
</mujoco>"""


def asset_file(asset: Path | str) -> Path:
    """The MJCF of an asset: its folder's, or the file itself. Raises FileNotFoundError where there is none."""
    asset = Path(asset)
    mjcf = asset / MJCF if asset.is_dir() else asset
    if not mjcf.is_file():
        raise FileNotFoundError(f"{mjcf} is missing; name an asset's folder, or its MJCF, as asset/{MJCF}")
    return mjcf


def asset_files(folder: Path | str) -> list[Path]:
    """The MJCF files of a catalogue's assets, sorted, or of one asset. Raises FileNotFoundError when there are none."""
    folder = Path(folder)
    if (folder / MJCF).is_file():
        return [folder / MJCF]
    found = sorted(path for path in folder.glob(f"*/{MJCF}") if not path.parent.name.startswith("."))
    if not found:
        raise FileNotFoundError(f"{folder} holds no assets, folders with {MJCF}; name a catalogue, as runs/catalogue")
    return found


def load_asset(mjcf: Path | str) -> tuple[Any, Any]:
    """The mujoco.MjModel of an object that falls freely above a floor at z = 0, and its MjData; its origin at 0, 0, 0.

    Raises FileNotFoundError when there is no such file, ValueError naming it when it is not an object of meshes.
    """
    import mujoco

    mjcf = asset_file(mjcf)
    try:
        model = mujoco.MjModel.from_xml_string(_scene_xml(mjcf))
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"{mjcf} is not an object that can be simulated ({error}); make the asset again") from None
    return model, mujoco.MjData(model)


def surface_points(model: Any, data: Any, group: int, body: int | None = None) -> Array:
    """Vertices (N, 3) of an object's meshes of this group where they are now, in the world; data: kinematics current.

    body: its number, by default that of the only object there is.
    """
    parts = []
    for geom in _meshes(model, group, body):
        start, count = (array[model.geom_dataid[geom]] for array in (model.mesh_vertadr, model.mesh_vertnum))
        axes = data.geom_xmat[geom].reshape(3, 3)
        parts.append(model.mesh_vert[start : start + count] @ axes.T + data.geom_xpos[geom])
    return np.concatenate(parts)


def draw_asset(
    mjcf: Path | str, azimuth: float = 35.0, elevation: float = 25.0, width: int = 256, height: int = 256
) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of an object standing on the floor, as a thumbnail; angles in degrees.

    Azimuth 0 sees its front, azimuth 90 its left. Raises what load_asset raises, RuntimeError where nothing draws.
    """
    model, data = load_asset(mjcf)
    stand(model, data, 0.0)
    points = surface_points(model, data, VISUAL)
    focus = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - focus, axis=1).max())
    a, e = np.radians([azimuth, elevation])
    way = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    position = focus + way * radius / np.sin(np.arctan(FILL * np.tan(np.radians(FOVY) / 2)))
    camera = Camera(model, CameraConfig(CAMERA, width, height))
    try:
        data.cam_xpos[0], data.cam_xmat[0] = position, look_at(position, focus).ravel()
        return camera.draw_rgb(data)
    finally:
        camera.close()


def draw_turn(mjcf: Path | str, size: int = 256) -> NDArray[np.uint8]:
    """Pictures (size, 4 * size, 3) from four sides. Raises what draw_asset raises."""
    return np.concatenate([draw_asset(mjcf, azimuth, width=size, height=size) for azimuth in (35, 125, 215, 305)], 1)


def stand(model: Any, data: Any, height: float) -> None:
    """Put the object upright with its lowest visible point this high (m) above the floor, kinematics current."""
    import mujoco

    mujoco.mj_resetData(model, data)
    mujoco.mj_forward(model, data)
    data.qpos[2] += height - surface_points(model, data, VISUAL)[:, 2].min()
    mujoco.mj_forward(model, data)


def _scene_xml(mjcf: Path) -> str:
    """The object with a free joint, a floor, a lamp and a camera. Raises ValueError when there is no object."""
    theirs = ET.parse(mjcf).getroot()
    body = theirs.find(f"./worldbody/body/body[@name='{OBJECT}']")
    if body is None:
        raise ValueError(f"it has no body {OBJECT!r} in a body of its world")
    for group, what in ((COLLISION, "collide"), (VISUAL, "see")):
        if body.find(f"./geom[@type='mesh'][@group='{group}']") is None:
            raise ValueError(f"it has no mesh to {what}, a geom of group {group}")
    root = ET.fromstring(_SURROUNDINGS)
    assets = root.find("asset")
    for element in theirs.findall("./asset/*"):
        if "file" in element.attrib:
            element.set("file", str((mjcf.parent / element.attrib["file"]).resolve()))
        assets.append(element)
    ET.SubElement(body, "freejoint")
    root.find("worldbody").append(body)
    return ET.tostring(root, encoding="unicode")


def _meshes(model: Any, group: int, body: int | None = None) -> list[int]:
    """Geoms of this group that are an object's meshes."""
    import mujoco

    body = model.body(OBJECT).id if body is None else body
    chosen = (model.geom_bodyid == body) & (model.geom_group == group)
    return np.flatnonzero(chosen & (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)).tolist()

"""Off-screen images of a MuJoCo scene, on whatever OpenGL this machine really has."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.display import Display

BACKENDS = ("egl", "osmesa")  # a graphics card (or Mesa's software device) first, plain software as the fallback

# Draws a white box in a process of its own: a broken driver may end the process instead of raising. os._exit skips the
# drivers' exit handlers, whose complaints say nothing about whether drawing works.
_PROBE = """
import os, mujoco
from OpenGL import GL
scene = '<light pos="0 0 2"/><geom type="box" size="1 1 .1"/><camera name="c" pos="0 0 2"/>'
model = mujoco.MjModel.from_xml_string(f'<mujoco><worldbody>{scene}</worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data, "c")
drawn = int(renderer.render().max())
print(GL.glGetString(GL.GL_RENDERER).decode(), flush=True)
os._exit(0 if drawn > 0 else 3)
"""


@dataclass(frozen=True)
class GlReport:
    """What choose_gl found: the backend in use ("" when none draws), whether it draws, and why in words."""

    backend: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class CameraConfig:
    """A camera of the scene, the size of its images in pixels, and the solid that hovers before it: "" for none."""

    name: str = "agentview"
    width: int = 256
    height: int = 256
    display: str = ""

    def __post_init__(self) -> None:
        for field in ("width", "height"):
            if not 1 <= getattr(self, field) <= 4096:
                raise ValueError(f"camera {field} is {getattr(self, field)}, expected 1 to 4096 pixels")
        if self.display:
            Display(self.display, 0.0)


@dataclass(frozen=True)
class CameraImages:
    """rgb (H, W, 3) uint8 with the first row on top, depth (H, W) float32: planar z in m, K (3, 3) float64.

    display: the solid that hovers in them, if any.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    K: NDArray[np.float64]
    display: Display | None = None


@functools.cache
def choose_gl() -> GlReport:
    """Find a backend that really draws, EGL before OSMesa, and set MUJOCO_GL to it; asked once per process.

    A MUJOCO_GL that is already set is tried first. When nothing draws, MUJOCO_GL is left alone and ok is False.
    """
    asked = os.environ.get("MUJOCO_GL", "").lower()
    order = sorted(BACKENDS, key=lambda backend: backend != asked)
    failures: list[str] = []
    for backend in order:
        drew, detail = _draws(backend)
        if drew:
            os.environ["MUJOCO_GL"] = backend
            return GlReport(backend, True, "; ".join([f"{backend} draws with {detail}", *failures]))
        failures.append(f"{backend} does not draw: {detail}")
    return GlReport("", False, "; ".join(failures) + "; install libosmesa6, or libegl1 with libgl1-mesa-dri")


def _draws(backend: str) -> tuple[bool, str]:
    """Whether the backend draws a box in a fresh process, and the device's name or the error's last line."""
    environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return False, "no image within 60 s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f"exit code {done.returncode}"


class Camera:
    """Draws one camera of one MuJoCo model. Make a new one for a new model, close it when done."""

    def __init__(self, model: Any, config: CameraConfig) -> None:
        import mujoco

        report = choose_gl()
        if not report.ok:
            raise RuntimeError(f"camera {config.name!r} cannot be drawn: {report.detail}")
        # mujoco picks its context class when it is first imported, which may have been before the choice was made.
        mujoco.gl_context.GLContext = importlib.import_module(f"mujoco.{report.backend}").GLContext
        self._camera_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, config.name)
        if self._camera_id < 0:
            names = [model.camera(i).name for i in range(model.ncam)]
            raise ValueError(f"camera {config.name!r} is not in the scene; expected one of {', '.join(names)}")
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, config.width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, config.height)
        self.K = intrinsics(float(model.cam_fovy[self._camera_id]), config.width, config.height)
        self._display = config.display
        self._renderer = mujoco.Renderer(model, config.height, config.width)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[0] = 0  # robosuite's collision shapes; group 1 holds what is meant to be seen

    def draw(self, data: Any, seconds: float = 0.0) -> CameraImages:
        """Images of the scene as it stands; `data` must have current kinematics. seconds: of the display's turning."""
        self._renderer.update_scene(data, self._camera_id, self._option)
        display = Display(self._display, seconds) if self._display else None
        if display is not None:
            axes = data.cam_xmat[self._camera_id].reshape(3, 3)
            display.draw(self._renderer.scene, data.cam_xpos[self._camera_id], axes)
        rgb: NDArray[np.uint8] = self._renderer.render()
        self._renderer.enable_depth_rendering()
        depth = self._renderer.render()
        self._renderer.disable_depth_rendering()
        return CameraImages(rgb=rgb, depth=depth, K=self.K.copy(), display=display)

    def draw_rgb(self, data: Any) -> NDArray[np.uint8]:
        """The colour image (H, W, 3) alone, without the display, in half the time."""
        self._renderer.update_scene(data, self._camera_id, self._option)
        rgb: NDArray[np.uint8] = self._renderer.render()
        return rgb

    def close(self) -> None:
        """Free the drawing context."""
        self._renderer.close()


def intrinsics(fovy_degrees: float, width: int, height: int) -> NDArray[np.float64]:
    """Pinhole matrix (3, 3) of a camera with this vertical field of view.

    Pixel (u, v) means the centre of column u, row v, as in OpenCV and ROS, so the axis is at ((W-1)/2, (H-1)/2).
    """
    focal = 0.5 * height / np.tan(np.radians(fovy_degrees) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])

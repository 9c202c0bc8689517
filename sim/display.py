"""A solid that hovers before the camera and slowly turns: seen in its images, and no part of the physics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import axis_angle_to_matrix

RADIUS = 0.05  # m, of the sphere about the origin through every corner and edge of the solid
POSITION = (-0.135, -0.135, 0.5)  # m in the camera's optical frame: the upper left corner, nearer than the scene
AXIS = (0.36, 0.8, 0.48)  # of the turning, length 1; no axis of symmetry of a solid
RATE = np.radians(25.0)  # per second of simulated time
PHASE = np.radians(60.0)  # at time 0, when no solid shows the camera its face
GREY = (0.8, 0.8, 0.8, 1.0)
PADDING = 1.3  # side of the region over the diameter of the sphere as it appears at its centre's distance

Array = NDArray[np.float64]

# MuJoCo's kind of body and its half sizes for a sphere of radius 1: x, y, z, or radius and half height. The cylinder is
# as high as wide, about z.
_BODIES = {
    "cube": ("mjGEOM_BOX", [3**-0.5, 3**-0.5, 3**-0.5]),
    "cylinder": ("mjGEOM_CYLINDER", [2**-0.5, 2**-0.5, 0.0]),
}
SOLIDS = tuple(_BODIES)


@dataclass(frozen=True)
class Display:
    """Where the solid is at a time, in the camera's optical frame (x right, y down, z forward).

    solid: one of SOLIDS, ValueError naming them for another. seconds: simulated time.
    """

    solid: str
    seconds: float

    def __post_init__(self) -> None:
        if self.solid not in SOLIDS:
            raise ValueError(f"display is {self.solid!r}, expected one of: {', '.join(SOLIDS)}, or nothing")

    @property
    def position(self) -> Array:
        """(3,) m, always the same."""
        return np.array(POSITION)

    @property
    def rotation(self) -> Array:
        """(3, 3), from the solid's frame to the camera's."""
        return axis_angle_to_matrix((PHASE + RATE * self.seconds) * np.array(AXIS))

    def region(self, K: Array) -> tuple[int, int, int]:
        """First column, first row and side in pixels of the square that shows it to a camera with this matrix (3, 3).

        About the projected centre, PADDING times as wide as the sphere; the part that would lie left of the image or
        above it is cut off, since a RegionOfInterest cannot say it.
        """
        centre = (K @ self.position)[:2] / self.position[2]
        side = round(PADDING * 2 * RADIUS * K[0, 0] / self.position[2])
        column, row = (max(0, round(float(middle - (side - 1) / 2))) for middle in centre)
        return column, row, side

    def draw(self, scene: Any, camera_position: Array, camera_axes: Array) -> None:
        """Add it to an MjvScene. camera_position (3,), camera_axes (3, 3): of MuJoCo's camera, which looks along -z."""
        import mujoco

        to_world = camera_axes @ np.diag([1.0, -1.0, -1.0])
        kind, sizes = _BODIES[self.solid]
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(
            geom,
            getattr(mujoco.mjtGeom, kind),
            RADIUS * np.array(sizes),
            camera_position + to_world @ self.position,
            (to_world @ self.rotation).ravel(),
            np.array(GREY, np.float32),
        )
        geom.specular = 0.0  # matt
        # mjv_initGeom leaves these as it finds them. What has no segid is missing in depth images.
        geom.category, geom.transparent, geom.segid = mujoco.mjtCatBit.mjCAT_DECOR, 0, scene.ngeom
        geom.objtype, geom.objid = mujoco.mjtObj.mjOBJ_UNKNOWN, -1
        scene.ngeom += 1

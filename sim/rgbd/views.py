"""Where a camera stands in a random scene, and which of its views teach a depth model nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from sim.rendering import Camera, CameraConfig, CameraImages
from sim.rgbd.scene import CAMERA, SKY, Array, Scene

MIN_DEPTH = 0.1  # m
# Free space about the camera, m: the corner of the widest view (75 degrees, up to 2:1) is seen at 60 degrees from the
# axis, where this is a planar depth of 0.11 m, so that nothing is nearer than MIN_DEPTH.
CLEARANCE = 0.22
DISTANCE = (1.0, 4.0)  # of the camera from the middle, in radii of the scene
ELEVATION = (5.0, 75.0)  # degrees
ROLL = 8.0  # degrees, standard deviation
SHOWN_GROUPS = (1, 2)  # of geoms, by Camera

MOST_SKY = 0.05  # part of the image
LEAST_SPREAD = 1.2  # between the depths that 5 % of the pixels are nearer than, and 5 % farther
LEAST_RELIEF = 0.03  # RMS relative distance from the plane that fits best
LEAST_LIGHT, LEAST_CONTRAST = 40.0, 10.0  # mean and standard deviation of grey levels, of 255
TRIES = 10  # cameras for each view

NEAR = "a thing is too near to the camera, or about it"
EMPTY = "too much of it has no depth"
FLAT = "nearly the same depth everywhere"
PLANE = "nothing but one plane"
DARK = "too dark"
BLANK = "nearly the same colour everywhere"
FAULTS = (NEAR, EMPTY, FLAT, PLANE, DARK, BLANK)


def random_views(
    scene: Scene, rng: np.random.Generator, count: int, width: int, height: int, rejected: Counter[str]
) -> Iterator[CameraImages]:
    """Up to `count` useful views of the scene: fewer, when TRIES random cameras for each do not find them.

    Depth is inf where nothing stands. rejected counts the FAULTS of the other cameras.
    """
    model, data = scene.load()
    camera = Camera(model, CameraConfig(CAMERA, width, height))
    try:
        for _ in range(count * TRIES):
            if count == 0:
                return
            position, rotation = random_pose(rng, scene.focus, scene.radius)
            if clearance(model, data, position) < CLEARANCE:
                rejected[NEAR] += 1
                continue
            images = look(camera, model, data, position, rotation)
            fault = find_fault(images)
            if fault is None:
                count -= 1
                yield images
            else:
                rejected[fault] += 1
    finally:
        camera.close()


def random_pose(rng: np.random.Generator, focus: Array, radius: float) -> tuple[Array, Array]:
    """Position (3,) and rotation (3, 3) of a camera that looks at about `focus` (3,) from above; see look_at."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*ELEVATION))
    distance = radius * np.exp(rng.uniform(*np.log(DISTANCE)))
    level = np.cos(elevation)
    target = focus + radius * rng.uniform([-0.7, -0.7, 0.0], [0.7, 0.7, 0.4])
    position = focus + distance * np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    return position, look_at(position, target, float(np.radians(rng.normal(0, ROLL))))


def look_at(position: Array, target: Array, roll: float = 0.0) -> Array:
    """Rotation (3, 3) of a camera of MuJoCo's, which looks along -z with x to the right and y up; roll in rad."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 1e-6 else np.array([1.0, 0.0, 0.0])
    up = np.cross(back, right)
    turned = np.cos(roll) * right + np.sin(roll) * up
    return np.stack([turned, np.cross(back, turned), back], axis=1)


def clearance(model: Any, data: Any, position: Array) -> float:
    """Distance (m) from a point to the nearest box about a geom that is shown; 0 within one, or below a plane."""
    shown = np.isin(model.geom_group, SHOWN_GROUPS)
    rotation = data.geom_xmat[shown].reshape(-1, 3, 3)
    local = np.einsum("nji,nj->ni", rotation, position - data.geom_xpos[shown])  # in each geom's own frame
    middle, half = model.geom_aabb[shown, :3], model.geom_aabb[shown, 3:]  # a plane's is all that lies below it
    gaps = np.linalg.norm(np.maximum(np.abs(local - middle) - half, 0), axis=1)
    return float(gaps.min(initial=np.inf))


def find_fault(images: CameraImages) -> str | None:
    """The first of FAULTS that a view has, by its image and depth (inf: no depth there), or None."""
    depth = images.depth
    seen = np.isfinite(depth)
    if 1 - seen.mean() > MOST_SKY:
        return EMPTY
    if depth.min() < MIN_DEPTH:
        return NEAR
    near, far = np.percentile(depth[seen], (5, 95))
    if far < LEAST_SPREAD * near:
        return FLAT
    rows, columns = np.nonzero(seen)
    inverse = 1 / depth[seen].astype(float)  # of a plane: linear in the pixel's place
    places = np.stack([rows, columns, np.ones(len(rows))], axis=1)
    fitted = places @ np.linalg.lstsq(places, inverse, rcond=None)[0]
    if np.sqrt(np.mean((fitted / inverse - 1) ** 2)) < LEAST_RELIEF:
        return PLANE
    grey = images.rgb.mean(axis=2)
    if grey.mean() < LEAST_LIGHT:
        return DARK
    if grey.std() < LEAST_CONTRAST:
        return BLANK
    return None


def look(camera: Camera, model: Any, data: Any, position: Array, rotation: Array) -> CameraImages:
    """What the scene's camera sees from there; depth is inf where nothing stands nearer than SKY."""
    number = model.camera(CAMERA).id
    data.cam_xpos[number], data.cam_xmat[number] = position, rotation.ravel()
    images = camera.draw(data)
    depth = np.where(images.depth < 0.99 * SKY, images.depth, np.float32(np.inf))
    return CameraImages(images.rgb, depth, images.K)

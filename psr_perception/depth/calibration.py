"""What a camera_info says, and images rectified by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_perception.depth.camera import Camera

Array = NDArray[Any]
# Distortion model of a camera_info -> how many coefficients OpenCV takes for it.
COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True)
class Calibration:
    """The fields of a camera_info: size in pixels, distortion model with its coefficients d, matrices k, r, p row by
    row."""

    width: int
    height: int
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]

    def camera(self, shape: tuple[int, ...]) -> Camera:
        """The camera of an image (H, W, ...). Raises ValueError where the size differs, and as Camera does."""
        if shape[:2] != (self.height, self.width):
            raise ValueError(
                f"the image has {shape[1]} x {shape[0]} pixels, its camera_info is for {self.width} x {self.height}; "
                "they must describe one image (binning and regions of interest are not taken into account)"
            )
        return Camera.from_camera_info(self.width, self.height, self.k, self.p)


class Rectifier:
    """Takes lens distortion out of images, bilinearly; keeps the map of the last calibration. One thread at a time."""

    def __init__(self) -> None:
        self._maps: tuple[Calibration, Any] | None = None

    def rectify(self, image: Array, calibration: Calibration) -> Array:
        """The image (H, W, 3) as P describes it, black where the camera saw nothing; itself if nothing is distorted.

        Raises ValueError as Calibration.camera does, and on a distortion model that is not known.
        """
        camera = calibration.camera(image.shape)
        identity = np.array_equal(calibration.r, np.eye(3).ravel()) or not any(calibration.r)
        if not any(calibration.d) and identity and np.array_equal(camera.p[:, :3], camera.k):
            return image
        if self._maps is None or self._maps[0] != calibration:
            self._maps = calibration, _maps(calibration, camera)
        return cv2.remap(image, *self._maps[1], cv2.INTER_LINEAR)


def _maps(calibration: Calibration, camera: Camera) -> Any:
    model, d = calibration.model, np.array(calibration.d, np.float64)
    known = ", ".join(COEFFICIENTS)
    if model not in COEFFICIENTS or len(d) not in (0, *COEFFICIENTS[model]) or not np.isfinite(d).all():
        raise ValueError(
            f"camera_info: distortion_model {model!r} with {len(d)} coefficients, expected one of {known} with the "
            f"coefficients that belong to it ({COEFFICIENTS}); rectify the image elsewhere and set rectify to false"
        )
    rotation = np.array(calibration.r, np.float64).reshape(3, 3) if any(calibration.r) else np.eye(3)
    size = camera.width, camera.height
    initialise = cv2.fisheye.initUndistortRectifyMap if model == "equidistant" else cv2.initUndistortRectifyMap
    if not d.size:
        d = np.zeros(4)
    return initialise(camera.k, d, rotation, camera.p[:, :3], size, cv2.CV_32FC1)

"""numpy arrays <-> sensor_msgs/Image, with padded rows and both byte orders. Needs nothing but numpy.

rgb_pixels has cv_bridge do the work where ROS provides it, since that knows Bayer patterns and YUV, too.
"""

from __future__ import annotations

import functools
import sys
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

# encoding: (dtype, channels). One-channel images are (H, W), the others (H, W, channels).
ENCODINGS: dict[str, tuple[str, int]] = {
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "mono8": ("u1", 1),
    "mono16": ("u2", 1),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
}


def to_image(pixels: NDArray[Any], encoding: str, header: Header | None = None) -> Image:
    """An image message, its pixels copied once, in this machine's byte order and without padding.

    pixels: (H, W, 3) uint8 for rgb8 and bgr8, (H, W, 4) for rgba8 and bgra8; (H, W) uint8 for mono8, uint16 for mono16
    and 16UC1, float32 for 32FC1.
    Raises ValueError on an unknown encoding or on another shape or dtype.
    """
    dtype, channels = _layout(encoding)
    shape = "(H, W)" if channels == 1 else f"(H, W, {channels})"
    fits = pixels.ndim == (2 if channels == 1 else 3) and (channels == 1 or pixels.shape[2] == channels)
    if not fits or pixels.dtype != np.dtype(dtype) or not pixels.size:
        expected = f"{shape} {np.dtype(dtype).name} with at least one pixel"
        raise ValueError(f"pixels are {pixels.shape} {pixels.dtype}, expected {expected} for {encoding}")
    # A byte-swapped dtype equals no native one, so what passes the check above is native already.
    pixels = np.ascontiguousarray(pixels)
    data = array("B")
    data.frombytes(pixels.data.cast("B"))  # the fast way in: assigning an ndarray converts byte by byte
    height, width = pixels.shape[:2]
    step = width * channels * pixels.itemsize
    message = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=sys.byteorder == "big")
    message.data = data
    if header is not None:
        message.header = header
    return message


def from_image(message: Image) -> NDArray[Any]:
    """The pixels of an image message, shaped as to_image takes them, in this machine's byte order.

    Shares memory with the message where its rows are not padded and its bytes are native. Raises ValueError on an
    unknown encoding, or when step or data are too short for height and width.
    """
    name, channels = _layout(message.encoding)
    dtype = np.dtype(name).newbyteorder(">" if message.is_bigendian else "<")
    used = message.width * channels * dtype.itemsize
    if not (message.height and message.width):
        raise ValueError(f"image is {message.width} x {message.height}, expected at least one pixel")
    if message.step < used:
        raise ValueError(f"image step is {message.step} bytes, expected at least {used} for width {message.width}")
    if len(message.data) < message.step * message.height:
        expected = message.step * message.height
        raise ValueError(f"image holds {len(message.data)} bytes, expected {expected} (step x height)")
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height).reshape(message.height, message.step)
    pixels = np.ascontiguousarray(rows[:, :used]).view(dtype)
    if not dtype.isnative:
        pixels = pixels.astype(dtype.newbyteorder("="))
    return pixels if channels == 1 else pixels.reshape(message.height, message.width, channels)


def rgb_pixels(message: Image) -> NDArray[np.uint8]:
    """A camera image as (H, W, 3) uint8, red green blue, whatever colours it has: by cv_bridge if there is one.

    May share memory with the message. Raises ValueError as from_image does, and on an encoding without colours.
    """
    bridge = _cv_bridge()
    return own_rgb_pixels(message) if bridge is None else bridge(message)


def own_rgb_pixels(message: Image) -> NDArray[np.uint8]:
    """rgb_pixels without cv_bridge: rgb8, bgr8, rgba8, bgra8, mono8, and mono16 from 0 to 65535."""
    if message.encoding not in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16"):
        raise ValueError(
            f"image encoding is {message.encoding!r}, expected rgb8, bgr8, rgba8, bgra8, mono8 or mono16; have the "
            "driver or image_proc convert it, or install cv_bridge (ros-jazzy-cv-bridge)"
        )
    pixels = from_image(message)
    if message.encoding == "mono16":
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, 2::-1] if message.encoding.startswith("bgr") else pixels[:, :, :3])


@functools.cache
def _cv_bridge() -> Any:
    """Image message -> (H, W, 3) by cv_bridge, or None where it cannot be imported: it may want another numpy."""
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except (ImportError, AttributeError):
        return None

    def convert(message: Image) -> NDArray[np.uint8]:
        try:
            pixels: NDArray[np.uint8] = CvBridge().imgmsg_to_cv2(message, "rgb8")
        except (CvBridgeError, TypeError, ValueError) as error:
            raise ValueError(f"cv_bridge cannot make rgb8 of image encoding {message.encoding!r}: {error}") from None
        return pixels

    return convert


def _layout(encoding: str) -> tuple[str, int]:
    if encoding not in ENCODINGS:
        raise ValueError(f"image encoding is {encoding!r}, expected one of: {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding]

"""The part of an image that shows the object, as the square grey picture that the network looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST = 8  # pixels a side of what a region shows


@dataclass(frozen=True)
class Region:
    """Pixels from column x and row y on; 0 x 0 is the whole image. Raises ValueError naming the field."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        if min(self.x, self.y) < 0:
            raise ValueError(f"region.x is {self.x} and region.y {self.y}, expected pixels, 0 or more")
        if (self.width, self.height) != (0, 0) and min(self.width, self.height) < SMALLEST:
            raise ValueError(
                f"region.width is {self.width} and region.height {self.height}, expected {SMALLEST} pixels or more "
                "each, or both 0 for the whole image; set them together"
            )

    def of(self, height: int, width: int) -> Region:
        """The region in an image of this size, the whole image spelt out; what lies outside stays.

        Raises ValueError when it shows less of the image than SMALLEST pixels a side.
        """
        region = self if self.width else Region(0, 0, max(width, SMALLEST), max(height, SMALLEST))
        inside = min(region.x + region.width, width) - region.x, min(region.y + region.height, height) - region.y
        if min(inside) < SMALLEST:
            raise ValueError(
                f"region x {region.x}, y {region.y}, {region.width} x {region.height} shows less than {SMALLEST} x "
                f"{SMALLEST} pixels of an image of {width} x {height}; move region.x, region.y, or correct what "
                "publishes the region"
            )
        return region


def square_picture(image_rgb: NDArray[np.uint8], region: Region, size: int) -> NDArray[np.float32]:
    """A grey picture (size, size) in [0, 1] of a region of an image (H, W, 3).

    The region is made square about its centre by widening; what leaves the image is black. Raises ValueError as
    Region.of does.
    """
    region = region.of(*image_rgb.shape[:2])
    side = max(region.width, region.height)
    square = _padded(image_rgb, region.x - (side - region.width) // 2, region.y - (side - region.height) // 2, side)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(grey, (size, size), interpolation=way).astype(np.float32) / 255


def _padded(image: NDArray[Any], x: int, y: int, side: int) -> NDArray[Any]:
    """Square (side, side, 3) from column x and row y on, black where there is no image."""
    height, width = image.shape[:2]
    square = np.zeros((side, side, 3), image.dtype)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    square[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return square

"""What a depth model is trained on: images and normalised depth maps of one size, and crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_perception.depth.rgbd_folder import open_rgbd_folder

LOW, HIGH = 2, 98  # percentiles of an image's valid depth that become -1 and 1, as in Marigold
LEAST_VALID = 0.5  # share of an image's pixels; others are left out
HELD_OUT = 50  # every such image of the training split judges, and does not teach


@dataclass(frozen=True)
class TrainingImages:
    """rgb (N, 3, H, W) uint8; depth (N, H, W) float16, -1 (near) to 1 (far), 1 where invalid."""

    rgb: Tensor
    depth: Tensor

    def __len__(self) -> int:
        return len(self.rgb)

    def mirrored(self) -> TrainingImages:
        """The same, left and right exchanged."""
        return TrainingImages(self.rgb.flip(-1), self.depth.flip(-1))

    def colours(self, index: Tensor) -> Tensor:
        """Images (B, 3, H, W) float32 in [-1, 1], as the autoencoder takes them."""
        return self.rgb[index].float() / 127.5 - 1

    def depths(self, index: Tensor) -> Tensor:
        """Depth maps (B, 3, H, W) float32 in [-1, 1]: three times the same, for the autoencoder takes colours."""
        return self.depth[index].float()[:, None].expand(-1, 3, -1, -1)


def load_training_images(folder: Path | str, resolution: int, factor: int) -> tuple[TrainingImages, TrainingImages]:
    """The training split of an RGB-D folder, scaled so that the longer side has `resolution` pixels, without and with
    the images held out (every 50th) to judge by.

    factor: of the autoencoder; both sides must be multiples of it. Raises ValueError for sizes that are not, for a
    folder whose images differ in shape, or with fewer than 2 usable images; as open_rgbd_folder, too.
    """
    pictures, maps = [], []
    for sample in open_rgbd_folder(folder, "train"):
        size = scaled_size(sample.depth.shape, resolution, factor)
        if pictures and pictures[0].shape[1:] != size:
            raise ValueError(f"{folder}: {sample.name} is {size} after scaling, the first {pictures[0].shape[1:]}")
        if sample.valid.mean() < LEAST_VALID:
            continue
        rgb = cv2.resize(sample.rgb, size[::-1], interpolation=cv2.INTER_AREA)
        # nearest: between a thing and what is behind it there is nothing
        depth = cv2.resize(normalized_depth(sample.depth, sample.valid), size[::-1], interpolation=cv2.INTER_NEAREST)
        pictures.append(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
        maps.append(depth.astype(np.float16))
    if len(pictures) < 2:
        raise ValueError(f"{folder} has {len(pictures)} usable training images, expected 2 or more; render more")
    rgb, depth = torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(maps))
    judged = torch.arange(len(rgb)) % min(HELD_OUT, len(rgb)) == 0
    return TrainingImages(rgb[~judged], depth[~judged]), TrainingImages(rgb[judged], depth[judged])


def normalized_depth(depth: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth (H, W) in metres to [-1, 1]: the 2nd percentile becomes -1, the 98th 1, beyond is clipped; invalid: 1.

    Source: Ke et al., Marigold (CVPR 2024), eq. 3.
    """
    low, high = np.percentile(depth[valid], (LOW, HIGH))
    scaled = np.clip(2 * (depth - low) / max(high - low, 1e-6) - 1, -1, 1)
    return np.where(valid, scaled, 1).astype(np.float32)


def scaled_size(shape: tuple[int, ...], resolution: int, factor: int) -> tuple[int, int]:
    """Height and width with the longer side at `resolution`. Raises ValueError unless both are multiples of factor."""
    longest = max(shape)
    height, width = (round(side * resolution / longest) for side in shape)
    if height % factor or width % factor:
        raise ValueError(
            f"resolution {resolution} makes {height} x {width} pixels of {shape[0]} x {shape[1]}, expected multiples "
            f"of {factor}, the autoencoder's factor; choose another resolution"
        )
    return height, width

"""Pose rows, and networks that know the truth: their samples are spread about it by a known angle."""

from __future__ import annotations

import math

import torch

from psr_core import so3
from psr_core.so3_mixtures import RotationMixture
from psr_core.steering import Steering
from psr_eval.pose_images import RenderedImages
from psr_perception.pose.network import PoseConfig
from psr_perception.pose.symmetry import named_symmetry
from tests.conftest import ROOT
from tests.psr_perception.pose.small_networks import KnowingNetwork

SYMMETRIES = ROOT / "config" / "symmetries"


def psr(k: float = 7.0, sigma: float = 0.5, cap: bool = False) -> Steering:
    return Steering(k=k, sigma=sigma, cap=cap)


class TellingImages(RenderedImages):
    """Pictures whose first nine pixels are the true rotation."""

    def images(self, numbers, size, device="cpu"):
        pictures = torch.zeros(len(numbers), size, size, device=device)
        pictures.flatten(1)[:, :9] = self.rotations(numbers).flatten(1).to(device)
        return pictures


class Oracle(torch.nn.Module):
    """The exact noise prediction of N(truth, spread²) on rotations."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread, self.config = spread, PoseConfig(16, (8,), (1,), 2)
        self.unused = torch.nn.Parameter(torch.zeros(()))  # tells the device

    def encode(self, images):
        return images.flatten(1)[:, :9].reshape(-1, 3, 3)

    def denoiser(self, truth):
        def noise(rotations, level):
            offset = so3.log(truth[:, None].mT @ rotations)
            return level.sigma_t * offset / (self.spread**2 + level.sigma_t**2)

        return noise


def telling(*names: str, count: int = 4) -> TellingImages:
    return TellingImages(names or ("cube",), count, SYMMETRIES)


class TurningOracle(KnowingNetwork):
    """Knows what each frame of a video shows: the exact denoiser of one mixture after the other, over and over."""

    def __init__(self, mixtures) -> None:
        super().__init__(mixtures[0].centres, 0.1)
        self.mixtures = mixtures

    def encode(self, images):
        self.mixture = self.mixtures[self.encoded % len(self.mixtures)]
        return super().encode(images)


def forms(rotation, shape, turns=24):
    """Rotations (n, 3, 3) that look like one (3, 3): all, or so many about each continuous axis."""
    symmetry = named_symmetry(shape)
    found = rotation @ symmetry.elements
    if symmetry.axis is None:
        return found
    angles = 2 * math.pi / turns * torch.arange(turns, dtype=torch.float64)
    return (found[:, None] @ so3.exp(angles[:, None] * symmetry.axis)).flatten(0, 1)


def turning_oracle(turning, shape, spread=0.02):
    """Sees every frame's solid in each of its forms alike."""
    return TurningOracle([RotationMixture(forms(each, shape), spread) for each in turning.rotations(shape)])

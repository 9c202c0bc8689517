"""Pose rows, and a network that knows the truth: its samples are spread about it by a known angle."""

from __future__ import annotations

import torch

from psr_core import so3
from psr_core.steering import Steering
from psr_eval.pose_samples import RenderedImages
from psr_perception.pose.network import PoseConfig
from tests.conftest import ROOT

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

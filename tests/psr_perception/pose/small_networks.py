"""Rotation networks for tests: one of random weights, and one that knows the answer."""

from __future__ import annotations

import torch

from psr_core.so3_mixtures import RotationMixture
from psr_perception.pose.network import PoseConfig, PoseNetwork

SMALL = PoseConfig(image_size=16, channels=(8, 16), blocks=(1, 1), features=24, map_channels=8, points=6, hidden=32)


def random_network(seed=0, config=SMALL):
    """Every weight matters: the last layer of a new network begins at 0."""
    torch.manual_seed(seed)
    network = PoseNetwork(config).eval()
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    return network


class KnowingNetwork(PoseNetwork):
    """Answers as a mixture's exact denoiser, whatever the image shows; counts what it encodes."""

    def __init__(self, centres, spread, weights=None):
        super().__init__(SMALL)
        self.mixture = RotationMixture(centres, spread, weights)
        self.encoded = 0

    def encode(self, images):
        self.encoded += 1
        return super().encode(images)

    def denoiser(self, features):
        exact = self.mixture.denoiser()
        return lambda rotations, level: exact(rotations.flatten(0, -3), level).reshape(*rotations.shape[:-2], 3)

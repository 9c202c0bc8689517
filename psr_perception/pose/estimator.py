"""Rotations of the object in a picture, and the modes that they form up to its symmetry, under steering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import check_sampling, power_steps
from psr_core.steering import Steering
from psr_perception.pose.modes import Mode, find_modes
from psr_perception.pose.network import PoseNetwork
from psr_perception.pose.settings import PoseSettings
from psr_perception.pose.symmetry import Symmetry


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """Rotations of an object, object to camera, on the CPU. rotations: (samples, 3, 3) float64. modes: of them, the
    heaviest first; none where no samples agree."""

    rotations: Tensor
    modes: list[Mode]


class PoseEstimator:
    """Asks a network for the rotations of an object whose symmetry is known. One thread at a time."""

    def __init__(self, network: PoseNetwork, symmetry: Symmetry) -> None:
        self.symmetry = symmetry
        self._network = network
        self._device = next(network.parameters()).device

    @property
    def size(self) -> int:
        """Pixels a side of the pictures."""
        return self._network.config.image_size

    def check(self, settings: PoseSettings, steering: Steering) -> None:
        """Raises ValueError naming what does not go together."""
        check_sampling(steering, settings.eta)

    def estimate(
        self, picture: NDArray[np.float32], settings: PoseSettings, steering: Steering, frame_seed: int
    ) -> PoseEstimate:
        """The rotations of the object in a grey picture (size, size) in [0, 1], which is encoded once.

        All noise follows from (settings.seed, frame_seed): the same arguments give the same result whatever ran before.
        Raises ValueError as check does, or when the rotations are not finite.
        """
        self.check(settings, steering)
        steps, generator = power_steps(settings.num_inference_steps), noise_generator(settings.seed, frame_seed, 0)
        image = torch.from_numpy(picture)[None].to(self._device)
        try:
            found = self._network.sample(image, settings.samples, steps, steering, settings.eta, [generator])
            rotations = found[0].cpu().double()
            finite = bool(rotations.isfinite().all())
        except torch.linalg.LinAlgError:  # the projection of what is not finite
            finite = False
        if not finite:
            raise ValueError(
                f"rotations are not finite with steering {steering.label()}; try k = 1, and the checkpoint elsewhere"
            )
        return PoseEstimate(rotations, find_modes(rotations, self.symmetry, settings.radius))

"""Trains the autoencoder that codes images and depth maps alike."""

from __future__ import annotations

import torch
from torch import Tensor

from psr_core.latent_training import AutoencoderSettings, AutoencoderTrainer
from psr_perception.depth.training_images import TrainingImages


class DepthAutoencoderTrainer(AutoencoderTrainer):
    """Half of a batch are images, half are depth maps."""

    def __init__(
        self,
        channels: tuple[int, ...],
        settings: AutoencoderSettings,
        images: TrainingImages,
        judged: TrainingImages,
        device: torch.device | str = "cpu",
    ) -> None:
        self.images, self.judged = images, judged
        super().__init__(channels, settings, len(images), {"pixels": list(images.depth.shape[1:])}, device)

    def pictures(self, index: Tensor) -> Tensor:
        middle = (len(index) + 1) // 2
        return torch.cat([self.images.colours(index[:middle]), self.images.depths(index[middle:])])

    def validation_loss(self) -> float:
        """Mean absolute error of the depth maps held out, of 2: coded, decoded, and their channels averaged."""
        return self.errors()["depth"]

    def errors(self) -> dict[str, float]:
        """Mean absolute errors, of 2, of what is held out: "rgb" and "depth"."""
        count = len(self.judged)
        return {
            "rgb": self.coding_error(self.judged.colours, count, grey=False),
            "depth": self.coding_error(self.judged.depths, count, grey=True),
        }

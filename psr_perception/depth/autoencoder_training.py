"""Trains the autoencoder that codes images and depth maps alike."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from psr_core.devices import lower_precision
from psr_core.training import INIT, NetworkTrainer, require_finite, require_least, seed_all
from psr_perception.depth.small_marigold import small_autoencoder
from psr_perception.depth.training_images import TrainingImages
from psr_perception.depth.training_settings import DepthTrainSettings


@dataclass(frozen=True)
class AutoencoderSettings(DepthTrainSettings):
    """crop: side in pixels of the squares that are coded. kl_weight: of the latents' divergence from N(0, 1), beside an
    absolute error; small, so that the latents' scale stays within reason and little is lost."""

    crop: int = 96
    kl_weight: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, {"crop": 8})
        require_finite(self, ("kl_weight",))


class AutoencoderTrainer(NetworkTrainer):
    """Half of a batch are images, half are depth maps, all of them random crops, half of those mirrored.

    averaged: the autoencoder to keep.
    """

    settings: AutoencoderSettings

    def __init__(
        self,
        channels: tuple[int, ...],
        settings: AutoencoderSettings,
        images: TrainingImages,
        judged: TrainingImages,
        device: torch.device | str = "cpu",
    ) -> None:
        place = torch.device(device)
        self.identity: dict[str, Any] = {"channels": list(channels), "pixels": list(images.depth.shape[1:])}
        self.images, self.judged = images, judged
        seed_all(settings.seed, INIT, 0)
        self.vae: AutoencoderKL = small_autoencoder(channels).to(place, memory_format=torch.channels_last)
        self.averaged: AutoencoderKL = copy.deepcopy(self.vae).eval()
        super().__init__(settings, self.vae, self.averaged, len(images), place)

    def batch_loss(self, index: Tensor) -> Tensor:
        middle = (len(index) + 1) // 2
        batch = torch.cat([self.images.colours(index[:middle]), self.images.depths(index[middle:])])
        batch = random_crops(batch, self.settings.crop).to(self.device, memory_format=torch.channels_last)
        with lower_precision(self.device, self.settings.precision):
            latents = self.vae.encode(batch).latent_dist
            decoded = self.vae.decode(latents.sample()).sample
        error = (decoded.float() - batch).abs().mean()
        divergence = latents.kl().float().mean() / latents.mean[0].numel()
        return error + self.settings.kl_weight * divergence

    def validation_loss(self) -> float:
        """Mean absolute error of the depth maps held out, of 2: coded, decoded, and their channels averaged."""
        return self.errors()["depth"]

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """Mean absolute errors, of 2, of what is held out: "rgb" and "depth"."""
        total = {"rgb": 0.0, "depth": 0.0}
        for index in torch.arange(len(self.judged)).split(self.settings.batch_size):
            for name, batch in (("rgb", self.judged.colours(index)), ("depth", self.judged.depths(index))):
                batch = batch.to(self.device)
                decoded = self.averaged.decode(self.averaged.encode(batch).latent_dist.mode()).sample
                if name == "depth":
                    decoded = decoded.mean(1, keepdim=True)
                total[name] += (decoded - batch).abs().mean().item() * len(index)
        return {name: value / len(self.judged) for name, value in total.items()}


def random_crops(batch: Tensor, side: int) -> Tensor:
    """Of each picture (B, C, H, W) a square at a random place, mirrored at random; all of it where it is smaller."""
    height, width = batch.shape[2:]
    rows = torch.randint(max(height - side, 0) + 1, (len(batch),)).tolist()
    columns = torch.randint(max(width - side, 0) + 1, (len(batch),)).tolist()
    mirrored = (torch.rand(len(batch)) < 0.5).tolist()
    crops = [
        picture[:, row : row + side, column : column + side]
        for picture, row, column in zip(batch, rows, columns, strict=True)
    ]
    return torch.stack([crop.flip(-1) if flip else crop for crop, flip in zip(crops, mirrored, strict=True)])


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Latents (B, 4, h, w) float32 of pictures (B, 3, H, W) in [-1, 1], before any scaling; no noise in them."""
    latents: Tensor = vae.encode(pictures).latent_dist.mode()
    return latents.float()

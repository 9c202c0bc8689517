"""Trains the denoiser: depth latents out of noise, given the image's latents."""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from psr_core.devices import lower_precision
from psr_core.training import INIT, VALIDATION, NetworkTrainer, seed_all
from psr_perception.depth.small_marigold import noise_scheduler, small_unet
from psr_perception.depth.training_settings import DepthTrainSettings

Latents = tuple[Tensor, Tensor]  # of images and of their depth maps, each (N, 4, h, w), scaled


class DenoiserTrainer(NetworkTrainer):
    """Learns v of noisy depth latents, all timesteps alike. averaged: the network to keep.

    latents, judged: to learn from, and held out to judge by. text: features (1, tokens, width) of the empty prompt.
    Source: Ke et al., Marigold (CVPR 2024), section 3.2, without its multi-resolution noise.
    """

    settings: DepthTrainSettings

    def __init__(
        self,
        channels: tuple[int, ...],
        layers: int,
        settings: DepthTrainSettings,
        latents: Latents,
        judged: Latents,
        text: Tensor,
        device: torch.device | str = "cpu",
    ) -> None:
        place = torch.device(device)
        self.identity: dict[str, Any] = {
            "channels": list(channels),
            "layers": layers,
            "latents": list(latents[0].shape[1:]),
        }
        self.latents, self.judged, self.text = latents, judged, text.to(place)
        self.alphas_cumprod = noise_scheduler().alphas_cumprod.to(place)
        seed_all(settings.seed, INIT, 0)
        network = small_unet(channels, layers).to(place, memory_format=torch.channels_last)
        self.averaged: UNet2DConditionModel = copy.deepcopy(network).eval()
        super().__init__(settings, network, self.averaged, len(latents[0]), place)

    def batch_loss(self, index: Tensor) -> Tensor:
        return self._loss(self.network, *(latents[index] for latents in self.latents))

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss of the averaged weights on what is held out, always with the same noise."""
        total, count = 0.0, len(self.judged[0])
        for number, index in enumerate(torch.arange(count).split(self.settings.batch_size)):
            seed_all(self.settings.seed, VALIDATION, number)
            loss = self._loss(self.averaged, *(latents[index] for latents in self.judged))
            total += loss.item() * len(index)
        return total / count

    def _loss(self, model: nn.Module, image: Tensor, depth: Tensor) -> Tensor:
        image, depth = (latents.to(self.device, torch.float32) for latents in (image, depth))
        noise = torch.randn(depth.shape).to(self.device)
        timesteps = torch.randint(len(self.alphas_cumprod), (len(depth),)).to(self.device)
        alpha_bar = self.alphas_cumprod[timesteps][:, None, None, None]
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        noisy = torch.cat([image, alpha * depth + sigma * noise], 1).contiguous(memory_format=torch.channels_last)
        with lower_precision(self.device, self.settings.precision):
            prediction = model(noisy, timesteps, self.text.expand(len(depth), -1, -1)).sample
        return nn.functional.mse_loss(prediction.float(), alpha * noise - sigma * depth)

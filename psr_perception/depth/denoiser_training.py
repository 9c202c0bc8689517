"""Trains the denoiser: depth latents out of noise, given the image's latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from psr_core.devices import lower_precision, plain_attention
from psr_core.latent_training import DenoiserTrainer, LatentTrainSettings
from psr_core.training import INIT, seed_all
from psr_perception.depth.small_marigold import noise_scheduler, small_unet

Latents = tuple[Tensor, Tensor]  # of images and of their depth maps, each (N, 4, h, w), scaled


class DepthDenoiserTrainer(DenoiserTrainer):
    """Learns v of noisy depth latents.

    latents, judged: to learn from, and held out to judge by. text: features (1, tokens, width) of the empty prompt.
    Source: Ke et al., Marigold (CVPR 2024), section 3.2, without its multi-resolution noise.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        layers: int,
        settings: LatentTrainSettings,
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
        seed_all(settings.seed, INIT, 0)
        network = small_unet(channels, layers).to(place, memory_format=torch.channels_last)
        super().__init__(settings, network, len(latents[0]), len(judged[0]), noise_scheduler().alphas_cumprod)

    def loss(self, model: nn.Module, index: Tensor, judged: bool) -> Tensor:
        image, depth = (latents[index] for latents in (self.judged if judged else self.latents))
        made = self.noised(depth)
        noisy = torch.cat([image.to(self.device, torch.float32), made.noisy], 1)
        with lower_precision(self.device, self.settings.precision), plain_attention(self.device):
            text = self.text.expand(len(depth), -1, -1)
            prediction = model(noisy.contiguous(memory_format=torch.channels_last), made.timesteps, text).sample
        return nn.functional.mse_loss(prediction.float(), made.v)

"""Trains what a latent diffusion model is made of: an autoencoder, and a denoiser of its latents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from psr_core.devices import lower_precision, require_precision
from psr_core.small_networks import small_autoencoder
from psr_core.training import INIT, VALIDATION, NetworkTrainer, TrainSettings, require_finite, require_least, seed_all


@dataclass(frozen=True)
class LatentTrainSettings(TrainSettings):
    """An item of a batch is an image. precision: of the arithmetic while a network learns; its weights are float32."""

    steps: int = 10000
    batch_size: int = 16
    lr: float = 5e-4
    warmup_steps: int = 300
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    grad_clip: float = 1.0
    ema_max: float = 0.999
    precision: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_precision(self.precision)


@dataclass(frozen=True)
class AutoencoderSettings(LatentTrainSettings):
    """crop: side in pixels of the squares that are coded. kl_weight: of the latents' divergence from N(0, 1), beside an
    absolute error; small, so that the latents' scale stays within reason and little is lost."""

    crop: int = 64
    kl_weight: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, {"crop": 8})
        require_finite(self, ("kl_weight",))


class AutoencoderTrainer(NetworkTrainer):
    """Learns to code random crops of pictures, half of those mirrored; a subclass says which pictures.

    averaged: the autoencoder to keep. identity: what, beside the settings, tells this training from others.
    """

    settings: AutoencoderSettings

    def __init__(
        self,
        channels: tuple[int, ...],
        settings: AutoencoderSettings,
        items: int,
        identity: dict[str, Any],
        device: torch.device | str = "cpu",
    ) -> None:
        place = torch.device(device)
        self.identity = {"channels": list(channels), **identity}
        seed_all(settings.seed, INIT, 0)
        self.vae: AutoencoderKL = small_autoencoder(channels).to(place, memory_format=torch.channels_last)
        self.averaged: AutoencoderKL = copy.deepcopy(self.vae).eval()
        super().__init__(settings, self.vae, self.averaged, items, place)

    def validation_loss(self) -> float:
        """That one of the errors() by which the training is judged."""
        raise NotImplementedError

    def pictures(self, index: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) float32 in [-1, 1] of the items (B,) of a batch."""
        raise NotImplementedError

    def errors(self) -> dict[str, float]:
        """Mean absolute errors, of 2, of what is held out, by name."""
        raise NotImplementedError

    def batch_loss(self, index: Tensor) -> Tensor:
        """Absolute error and weighted divergence () of random crops of pictures (B,)."""
        batch = random_crops(self.pictures(index), self.settings.crop)
        batch = batch.to(self.device, memory_format=torch.channels_last)
        with lower_precision(self.device, self.settings.precision):
            latents = self.vae.encode(batch).latent_dist
            decoded = self.vae.decode(latents.sample()).sample
        error = (decoded.float() - batch).abs().mean()
        divergence = latents.kl().float().mean() / latents.mean[0].numel()
        loss: Tensor = error + self.settings.kl_weight * divergence
        return loss

    @torch.no_grad()
    def coding_error(self, pictures: Callable[[Tensor], Tensor], count: int, grey: bool) -> float:
        """Mean absolute error, of 2, of `count` pictures coded and decoded; grey: their channels averaged first."""
        total = 0.0
        for index in in_batches(count, self.settings.batch_size):
            batch = pictures(index).to(self.device)
            decoded = self.averaged.decode(self.averaged.encode(batch).latent_dist.mode()).sample
            if grey:
                decoded = decoded.mean(1, keepdim=True)
            total += (decoded - batch).abs().mean().item() * len(index)
        return total / count


class DenoiserTrainer(NetworkTrainer):
    """Learns to predict what a noise schedule made of latents, all timesteps alike; a subclass says what it sees.

    network: on its device; averaged: the one to keep. items, judged: how many to learn from, and held out to judge by.
    alphas_cumprod (T,): of the schedule. identity: what, beside the settings, tells this training from others; a
    subclass sets it.
    """

    settings: LatentTrainSettings
    averaged: Any
    identity: dict[str, Any]

    def __init__(
        self, settings: LatentTrainSettings, network: nn.Module, items: int, judged: int, alphas_cumprod: Tensor
    ) -> None:
        device = next(network.parameters()).device
        self.averaged, self.judged_items = copy.deepcopy(network).eval(), judged
        self.alphas_cumprod = alphas_cumprod.to(device)
        super().__init__(settings, network, self.averaged, items, device)

    def loss(self, model: nn.Module, index: Tensor, judged: bool) -> Tensor:
        """The loss () of a model on items (B,): of those that are held out, or of those to learn from."""
        raise NotImplementedError

    def batch_loss(self, index: Tensor) -> Tensor:
        return self.loss(self.network, index, judged=False)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss of the averaged weights on what is held out, always with the same noise."""
        total, count = 0.0, self.judged_items
        for number, index in enumerate(in_batches(count, self.settings.batch_size)):
            seed_all(self.settings.seed, VALIDATION, number)
            total += self.loss(self.averaged, index, judged=True).item() * len(index)
        return total / count

    def noised(self, clean: Tensor) -> Noised:
        """Latents (B, C, h, w) on the CPU with random noise at random timesteps, on the network's device."""
        clean = clean.to(self.device, torch.float32)
        noise = torch.randn(clean.shape).to(self.device)
        timesteps = torch.randint(len(self.alphas_cumprod), (len(clean),)).to(self.device)
        alpha_bar = self.alphas_cumprod[timesteps][:, None, None, None]
        return Noised(clean, noise, timesteps, alpha_bar.sqrt(), (1 - alpha_bar).sqrt())


@dataclass(frozen=True)
class Noised:
    """clean, noise (B, C, h, w), timesteps (B,) int64, alpha and sigma (B, 1, 1, 1)."""

    clean: Tensor
    noise: Tensor
    timesteps: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def noisy(self) -> Tensor:
        """alpha clean + sigma noise."""
        return self.alpha * self.clean + self.sigma * self.noise

    @property
    def v(self) -> Tensor:
        """alpha noise - sigma clean. Source: Salimans and Ho 2022, appendix D."""
        return self.alpha * self.noise - self.sigma * self.clean


def in_batches(count: int, size: int) -> list[Tensor]:
    """The numbers of `count` items in order, (<= size,) int64 each."""
    return [torch.arange(first, min(first + size, count)) for first in range(0, count, size)]


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


def code_all(
    vae: AutoencoderKL, pictures: Callable[[Tensor], Tensor], count: int, settings: LatentTrainSettings
) -> Tensor:
    """Latents (N, 4, h, w) float16 of all pictures, unscaled, on the CPU."""
    coded = []
    for index in in_batches(count, settings.batch_size):
        with lower_precision(vae.device, settings.precision):
            coded.append(encode(vae, pictures(index).to(vae.device)).cpu().half())
    return torch.cat(coded)


def scale_latents(vae: AutoencoderKL, latents: Tensor) -> float:
    """Sets the autoencoder's scaling factor to what gives these latents a standard deviation of 1; returns it."""
    scale = float(1 / latents.float().std())
    vae.register_to_config(scaling_factor=scale)
    return scale

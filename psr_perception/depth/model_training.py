"""Trains a small Marigold from a folder of RGB-D images: first the autoencoder, then the denoiser in its latents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from psr_core.files import file_sha256
from psr_core.image_folder import INDEX
from psr_core.latent_model_training import LatentModelTraining, as_stored
from psr_core.latent_training import AutoencoderSettings, DenoiserTrainer, LatentTrainSettings, code_all, scale_latents
from psr_perception.depth.autoencoder_training import DepthAutoencoderTrainer
from psr_perception.depth.denoiser_training import DepthDenoiserTrainer
from psr_perception.depth.small_marigold import empty_prompt, small_pipeline, small_unet
from psr_perception.depth.training_images import load_training_images


class DepthModelTraining(LatentModelTraining):
    """out/pipeline is a folder for MarigoldDepthPipeline.from_pretrained; see LatentModelTraining.

    data: RGB-D folder. resolution: of the images' longer side, pixels. card: command and git revision. Raises
    ValueError as load_training_images and TrainingRun do.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        card: Mapping[str, Any],
        *,
        resolution: int = 128,
        autoencoder_channels: tuple[int, ...] = (16, 32, 64),
        unet_channels: tuple[int, ...] = (32, 64, 128),
        unet_layers: int = 1,
        device: torch.device | str = "cpu",
        resume: bool = False,
    ) -> None:
        self.resolution, self.device = resolution, torch.device(device)
        self.autoencoder_channels = autoencoder_channels
        self.unet_channels, self.unet_layers = unet_channels, unet_layers
        factor = 2 ** (len(autoencoder_channels) - 1)
        self.images, self.judged = load_training_images(data, resolution, factor)
        said = {"folder": Path(data).name, "index_sha256": file_sha256(Path(data) / INDEX)}
        counts = {"images": len(self.images), "held_out": len(self.judged)}
        super().__init__(out, {**card, "data": {**said, **counts}}, resume)

    def autoencoder_trainer(self, settings: AutoencoderSettings) -> DepthAutoencoderTrainer:
        return DepthAutoencoderTrainer(self.autoencoder_channels, settings, self.images, self.judged, self.device)

    def denoiser_trainer(self, vae: AutoencoderKL, settings: LatentTrainSettings) -> DepthDenoiserTrainer:
        coded = [
            [code_all(vae, pictures, len(images), settings) for pictures in (images.colours, images.depths)]
            for images in (self.images, self.images.mirrored(), self.judged)
        ]
        scale = scale_latents(vae, coded[0][1])
        plain, mirrored, judged = ([latents * scale for latents in pair] for pair in coded)
        learned = torch.cat([plain[0], mirrored[0]]), torch.cat([plain[1], mirrored[1]])
        text = empty_prompt(small_pipeline(vae, small_unet(self.unet_channels, self.unet_layers)))
        return DepthDenoiserTrainer(
            self.unet_channels, self.unet_layers, settings, learned, (judged[0], judged[1]), text, device=self.device
        )

    def pipeline(self, vae: AutoencoderKL, trainer: DenoiserTrainer) -> Any:
        return small_pipeline(vae, as_stored(trainer.averaged), resolution=self.resolution)

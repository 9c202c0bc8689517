"""Trains a small Marigold from a folder of RGB-D images: first the autoencoder, then the denoiser in its latents."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from psr_core.devices import lower_precision
from psr_core.files import file_sha256
from psr_core.image_folder import INDEX
from psr_core.training_run import TrainingRun
from psr_perception.depth.autoencoder_training import AutoencoderSettings, AutoencoderTrainer, encode
from psr_perception.depth.denoiser_training import DenoiserTrainer, Latents
from psr_perception.depth.small_marigold import empty_prompt, parameter_count, small_pipeline, small_unet
from psr_perception.depth.training_images import TrainingImages, load_training_images
from psr_perception.depth.training_settings import DepthTrainSettings

CARD = "card.json"
AUTOENCODER, DENOISER, PIPELINE = "autoencoder", "denoiser", "pipeline"
Train = Callable[[TrainingRun], bool]  # trains a run; whether it came to the end


class DepthModelTraining:
    """Both trainings of one folder `out`: out/autoencoder, out/denoiser, and what they make, out/pipeline.

    out/pipeline is a folder for MarigoldDepthPipeline.from_pretrained, float16, with card.json. data: RGB-D folder.
    resolution: of the images' longer side, pixels. card: command and git revision. Raises ValueError as
    load_training_images and TrainingRun do, FileExistsError as TrainingRun does.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        card: Mapping[str, Any],
        *,
        resolution: int = 128,
        autoencoder_channels: tuple[int, ...] = (32, 48, 64),
        unet_channels: tuple[int, ...] = (64, 96, 128),
        unet_layers: int = 1,
        device: torch.device | str = "cpu",
        resume: bool = False,
    ) -> None:
        self.out, self.resolution, self.device, self.resume = Path(out), resolution, torch.device(device), resume
        self.autoencoder_channels = autoencoder_channels
        self.unet_channels, self.unet_layers = unet_channels, unet_layers
        factor = 2 ** (len(autoencoder_channels) - 1)
        self.images, self.judged = load_training_images(data, resolution, factor)
        said = {"folder": Path(data).name, "index_sha256": file_sha256(Path(data) / INDEX)}
        self.card = {**card, "data": {**said, "images": len(self.images), "held_out": len(self.judged)}}

    def train(self, autoencoder: AutoencoderSettings, denoiser: DepthTrainSettings, train: Train) -> bool:
        """Trains what is not trained yet; whether all came to the end."""
        coder = AutoencoderTrainer(self.autoencoder_channels, autoencoder, self.images, self.judged, self.device)

        def keep_autoencoder(folder: Path, card: dict[str, Any]) -> None:
            _save(coder.averaged, folder / "vae", {**card, "metrics": {**card["metrics"], **coder.errors()}})

        run = TrainingRun(coder, self.out / AUTOENCODER, self.card, keep_autoencoder, resume=self.resume)
        if not train(run):
            return False
        vae = _stored(coder.averaged)
        latents, judged = self._scaled_latents(vae, denoiser)
        text = empty_prompt(small_pipeline(vae, small_unet(self.unet_channels, self.unet_layers)))
        trainer = DenoiserTrainer(
            self.unet_channels, self.unet_layers, denoiser, latents, judged, text, device=self.device
        )
        coded = json.loads((self.out / AUTOENCODER / "vae" / CARD).read_text())

        def keep_pipeline(folder: Path, card: dict[str, Any]) -> None:
            self._save_pipeline(vae, trainer.averaged, {**card, AUTOENCODER: coded})

        run = TrainingRun(trainer, self.out / DENOISER, self.card, keep_pipeline, resume=self.resume)
        return train(run)

    def _scaled_latents(self, vae: AutoencoderKL, settings: DepthTrainSettings) -> tuple[Latents, Latents]:
        """Of the images to learn from and of those to judge by; the autoencoder's scaling factor is set to fit."""
        coded = [latents_of(vae, images, settings) for images in (self.images, self.judged)]
        scale = float(1 / coded[0][1].float().std())
        vae.register_to_config(scaling_factor=scale)
        learned, judged = ((image * scale, depth * scale) for image, depth in coded)
        return learned, judged

    def _save_pipeline(self, vae: AutoencoderKL, unet: UNet2DConditionModel, card: dict[str, Any]) -> None:
        stored = _stored(unet)
        pipeline = small_pipeline(vae, stored, resolution=self.resolution)
        card = {**card, "parameters": parameter_count(vae, stored, pipeline.text_encoder), "weights_dtype": "float16"}
        _save(pipeline.to(torch.float16), self.out / PIPELINE, card)
        pipeline.to(torch.float32)


@torch.no_grad()
def latents_of(vae: AutoencoderKL, images: TrainingImages, settings: DepthTrainSettings) -> Latents:
    """Latents of all images and of all depth maps, each (N, 4, h, w) float16, unscaled, on the CPU."""
    coded: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index in torch.arange(len(images)).split(settings.batch_size):
        with lower_precision(vae.device, settings.precision):
            for latents, pictures in zip(coded, (images.colours(index), images.depths(index)), strict=True):
                latents.append(encode(vae, pictures.to(vae.device)).cpu().half())
    return torch.cat(coded[0]), torch.cat(coded[1])


def _stored(network: Any) -> Any:
    """A copy on the CPU, its weights rounded as they will be stored: what is trained on it fits what is kept."""
    return copy.deepcopy(network).cpu().half().float().eval()


def _save(model: Any, folder: Path, card: dict[str, Any]) -> None:
    """Saves a model of diffusers with its card; whoever reads the folder finds the old one or the new."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    digests = {str(path.relative_to(temporary)): file_sha256(path) for path in sorted(temporary.rglob("*.safetensors"))}
    (temporary / CARD).write_text(json.dumps({**card, "sha256": digests}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)

"""Trains an image prior from a folder of pictures of objects: the autoencoder, then denoiser and text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTokenizer

from psr_core.devices import lower_precision, plain_attention
from psr_core.files import file_sha256
from psr_core.image_folder import INDEX
from psr_core.latent_model_training import LatentModelTraining, as_stored
from psr_core.latent_training import (
    AutoencoderSettings,
    AutoencoderTrainer,
    DenoiserTrainer,
    LatentTrainSettings,
    code_all,
    scale_latents,
)
from psr_core.object_prior.networks import (
    TextDenoiser,
    noise_scheduler,
    prior_pipeline,
    small_text_encoder,
    small_text_unet,
    tokens_of,
)
from psr_core.object_prior.training_pictures import Pictures, load_pictures
from psr_core.object_prior.words import vocabulary, word_tokenizer
from psr_core.training import INIT, seed_all

UNSAID = 0.1  # share of the pictures whose text is left out, for guidance


@dataclass(frozen=True)
class PriorShape:
    """The sizes of a prior's networks; text_width and text_layers are the text encoder's."""

    autoencoder_channels: tuple[int, ...] = (16, 32, 64)
    unet_channels: tuple[int, ...] = (64, 96, 160)
    unet_layers: int = 1
    text_width: int = 128
    text_layers: int = 2

    @property
    def factor(self) -> int:
        """Pixels to a latent, along a side."""
        return int(2 ** (len(self.autoencoder_channels) - 1))


@dataclass(frozen=True)
class LearnedLatents:
    """latents (N, 4, h, w), scaled; said (N, CAPTIONS): rows of tokens (T, TOKENS), the texts true of each."""

    latents: Tensor
    said: Tensor
    tokens: Tensor


class PictureAutoencoderTrainer(AutoencoderTrainer):
    """Codes the pictures of objects."""

    def __init__(
        self,
        channels: tuple[int, ...],
        settings: AutoencoderSettings,
        images: Pictures,
        judged: Pictures,
        device: torch.device,
    ) -> None:
        self.images, self.judged = images, judged
        super().__init__(channels, settings, len(images), {"pixels": images.rgb.shape[-1]}, device)

    def pictures(self, index: Tensor) -> Tensor:
        return self.images.colours(index)

    def validation_loss(self) -> float:
        """Mean absolute error, of 2, of the pictures held out."""
        return self.errors()["rgb"]

    def errors(self) -> dict[str, float]:
        """The same by its name."""
        return {"rgb": self.coding_error(self.judged.colours, len(self.judged), grey=False)}


class PriorDenoiserTrainer(DenoiserTrainer):
    """Learns the noise in latents of pictures, told one of the texts that are true of each, or nothing.

    empty (TOKENS,): the tokens of the empty text. Source: Ho and Salimans 2022, algorithm 1 (text left out at random).
    """

    network: TextDenoiser

    def __init__(
        self,
        network: TextDenoiser,
        settings: LatentTrainSettings,
        learned: LearnedLatents,
        judged: LearnedLatents,
        empty: Tensor,
        identity: dict[str, Any],
    ) -> None:
        self.learned, self.judged, self.empty, self.identity = learned, judged, empty, identity
        count, held_out = len(learned.latents), len(judged.latents)
        super().__init__(settings, network, count, held_out, noise_scheduler().alphas_cumprod)

    def loss(self, model: nn.Module, index: Tensor, judged: bool) -> Tensor:
        """Mean squared error () of the noise, each picture told one of its texts or none."""
        source = self.judged if judged else self.learned
        tokens = self.random_tokens(source, index).to(self.device)
        made = self.noised(source.latents[index])
        noisy = made.noisy.contiguous(memory_format=torch.channels_last)
        with lower_precision(self.device, self.settings.precision), plain_attention(self.device):
            prediction = model(noisy, made.timesteps, tokens)
        return nn.functional.mse_loss(prediction.float(), made.noise)

    def random_tokens(self, source: LearnedLatents, index: Tensor) -> Tensor:
        """(B, TOKENS): of each picture one of its texts, or the empty one."""
        said = source.said[index]
        chosen = torch.randint(said.shape[1], (len(index), 1))
        tokens = source.tokens[said.gather(1, chosen)[:, 0]]
        unsaid = torch.rand(len(index), 1) < UNSAID
        return torch.where(unsaid, self.empty, tokens)


class PriorTraining(LatentModelTraining):
    """out/pipeline is a folder for StableDiffusionPipeline.from_pretrained and psr_core.distillation.open_prior.

    data: folder of pictures of objects. card: command and git revision. Raises ValueError as load_pictures and
    TrainingRun do.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        card: Mapping[str, Any],
        shape: PriorShape,
        *,
        device: torch.device | str = "cpu",
        resume: bool = False,
    ) -> None:
        self.shape, self.device = shape, torch.device(device)
        self.images, self.judged = load_pictures(data, shape.factor)
        self.tokenizer: CLIPTokenizer = word_tokenizer(vocabulary(self.images.texts))
        said = {"folder": Path(data).name, "index_sha256": file_sha256(Path(data) / INDEX)}
        counts = {"images": len(self.images), "held_out": len(self.judged)}
        super().__init__(out, {**card, "data": {**said, **counts}}, resume)

    def autoencoder_trainer(self, settings: AutoencoderSettings) -> PictureAutoencoderTrainer:
        channels = self.shape.autoencoder_channels
        return PictureAutoencoderTrainer(channels, settings, self.images, self.judged, self.device)

    def denoiser_trainer(self, vae: AutoencoderKL, settings: LatentTrainSettings) -> PriorDenoiserTrainer:
        """Codes all pictures, then as LatentModelTraining.denoiser_trainer."""
        coded, judged = (code_all(vae, each.colours, len(each), settings) for each in (self.images, self.judged))
        scale = scale_latents(vae, coded)
        seed_all(settings.seed, INIT, 0)
        network = self._network(coded.shape[-1]).to(self.device)
        network.unet.to(memory_format=torch.channels_last)
        return PriorDenoiserTrainer(
            network,
            settings,
            self._learned(self.images, coded * scale),
            self._learned(self.judged, judged * scale),
            tokens_of(self.tokenizer, [""])[0],
            {**_as_json(self.shape), "latents": list(coded.shape[1:]), "words": len(self.tokenizer)},
        )

    def pipeline(self, vae: AutoencoderKL, trainer: DenoiserTrainer) -> Any:
        return prior_pipeline(vae, as_stored(trainer.averaged), self.tokenizer)

    def _network(self, side: int) -> TextDenoiser:
        shape = self.shape
        return TextDenoiser(
            small_text_unet(shape.unet_channels, shape.unet_layers, shape.text_width, side),
            small_text_encoder(len(self.tokenizer), shape.text_width, shape.text_layers),
        )

    def _learned(self, pictures: Pictures, latents: Tensor) -> LearnedLatents:
        return LearnedLatents(latents, pictures.said, tokens_of(self.tokenizer, list(pictures.texts)))


def _as_json(shape: PriorShape) -> dict[str, Any]:
    fields = vars(shape)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

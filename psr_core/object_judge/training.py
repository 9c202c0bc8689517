"""Trains a judge of pictures of objects: which texts are true of a picture, and which are not."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from psr_core.devices import lower_precision, require_precision
from psr_core.latent_model_training import as_stored, save_with_card
from psr_core.latent_training import in_batches, random_crops
from psr_core.object_judge.naming import share_named
from psr_core.object_judge.network import (
    JudgeFolder,
    JudgeShape,
    contrastive_loss,
    picture_features,
    small_clip,
    text_features,
)
from psr_core.object_prior.networks import tokens_of
from psr_core.object_prior.training_pictures import Pictures
from psr_core.object_prior.words import vocabulary, word_tokenizer
from psr_core.small_networks import parameter_count
from psr_core.training import INIT, VALIDATION, NetworkTrainer, TrainSettings, require_least, seed_all

HELD_OUT = 2000  # pictures of the test split at most
CLIP = "clip"  # the folder in a run that holds the model
MOVED = 16  # a picture is moved by up to this part of its side


@dataclass(frozen=True)
class JudgeTrainSettings(TrainSettings):
    """An item of a batch is a picture with one of its texts, which the batch's other pictures are told from.

    precision: of the arithmetic while the network learns; its weights are float32.
    """

    steps: int = 3000
    batch_size: int = 64
    lr: float = 1e-3
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    grad_clip: float = 1.0
    ema_max: float = 0.998
    precision: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, {"batch_size": 2})
        require_precision(self.precision)


class _Told(NamedTuple):
    """Pictures, and their texts as (T, TOKENS) int64."""

    pictures: Pictures
    tokens: Tensor


class JudgeTrainer(NetworkTrainer):
    """Learns from pictures, moved and mirrored at random, with one of the texts true of each. averaged: what to keep.

    images, judged: to learn from, and held out.
    """

    settings: JudgeTrainSettings
    network: CLIPModel

    def __init__(
        self,
        shape: JudgeShape,
        settings: JudgeTrainSettings,
        images: Pictures,
        judged: Pictures,
        device: torch.device | str = "cpu",
    ) -> None:
        place = torch.device(device)
        self.judged = judged
        self.tokenizer: CLIPTokenizer = word_tokenizer(vocabulary(images.texts))
        self._learned, self._held_out = (
            _Told(each, tokens_of(self.tokenizer, list(each.texts))) for each in (images, judged)
        )
        pixels = images.rgb.shape[-1]
        self.identity: dict[str, Any] = {
            **dataclasses.asdict(shape),
            "pixels": pixels,
            "words": len(self.tokenizer.init_kwargs["words"]),
        }
        seed_all(settings.seed, INIT, 0)
        network: Any = small_clip(shape, len(self.tokenizer), pixels)
        self.averaged: CLIPModel = copy.deepcopy(network.to(place)).eval()
        super().__init__(settings, network, self.averaged, len(images), place)

    def batch_loss(self, index: Tensor) -> Tensor:
        pictures = self._learned.pictures.colours(index)
        side = pictures.shape[-1]
        padded = nn.functional.pad(pictures, [side // MOVED] * 4, mode="replicate")
        return self._loss(self.network, self._learned, index, random_crops(padded, side))

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss of the averaged weights on what is held out, always with the same texts."""
        total = 0.0
        for number, index in enumerate(in_batches(len(self.judged), self.settings.batch_size)):
            seed_all(self.settings.seed, VALIDATION, number)
            total += self._loss(self.averaged, self._held_out, index, self.judged.colours(index)).item() * len(index)
        return total / len(self.judged)

    def _loss(self, clip: CLIPModel, source: _Told, index: Tensor, pictures: Tensor) -> Tensor:
        said = source.pictures.said[index]
        chosen = said.gather(1, torch.randint(said.shape[1], (len(index), 1)))[:, 0]
        true = (said[:, :, None] == chosen).any(1)
        tokens = source.tokens[chosen]
        with lower_precision(self.device, self.settings.precision):
            seen = picture_features(clip, pictures.to(self.device))
            read = text_features(clip, tokens.to(self.device))
        return contrastive_loss(seen, read, true.to(self.device), clip.logit_scale)


def save_judge(trainer: JudgeTrainer, folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Writes what is trained so far for transformers, with its card; returns the card's metrics.

    named: share_named() of what is held out, by the weights as they are stored.
    """
    stored: CLIPModel = as_stored(trainer.averaged)
    named = _share_named(stored, trainer.judged, trainer.tokenizer)
    metrics = {**card["metrics"], "named": named}
    said = {"parameters": parameter_count(stored), "weights_dtype": "float16", "held_out": len(trainer.judged)}
    save_with_card(JudgeFolder(stored, trainer.tokenizer), folder, {**card, **said, "metrics": metrics})
    return metrics


@torch.no_grad()
def _share_named(clip: CLIPModel, judged: Pictures, tokenizer: CLIPTokenizer) -> dict[str, dict[str, float]]:
    seen = [picture_features(clip, judged.colours(index)) for index in in_batches(len(judged), 64)]
    return share_named(torch.cat(seen), judged.words, lambda texts: text_features(clip, tokens_of(tokenizer, texts)))

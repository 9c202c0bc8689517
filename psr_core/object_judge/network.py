"""A CLIP small enough to be shipped, and to train without a GPU: transformers' own classes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer, CLIPVisionConfig

from psr_core.object_prior.networks import HEADS, small_text_config
from psr_core.training import require_least

LARGEST_SCALE = 100.0  # of the logits; source: "Learning transferable visual models" (arXiv 2103.00020), section 2.5


@dataclass(frozen=True)
class JudgeShape:
    """The sizes of a judge's networks. patches: along a side of a picture; features: of the space of both.

    Raises ValueError naming the field.
    """

    patches: int = 8
    width: int = 128
    layers: int = 4
    text_width: int = 128
    text_layers: int = 2
    features: int = 128

    def __post_init__(self) -> None:
        require_least(self, {field.name: 1 for field in fields(self)})
        for name in ("width", "text_width"):
            if getattr(self, name) % HEADS:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a multiple of {HEADS}")


def small_clip(shape: JudgeShape, tokens: int, size: int) -> CLIPModel:
    """A CLIP with random weights for a vocabulary of so many tokens and pictures of so many pixels a side."""
    vision = CLIPVisionConfig(
        image_size=size,
        patch_size=size // shape.patches,
        hidden_size=shape.width,
        intermediate_size=4 * shape.width,
        num_attention_heads=HEADS,
        num_hidden_layers=shape.layers,
        projection_dim=shape.features,
    )
    text = small_text_config(tokens, shape.text_width, shape.text_layers)
    return CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=shape.features)
    )


def picture_features(clip: CLIPModel, pictures: Tensor) -> Tensor:
    """Unit vectors (B, D) float32 of pictures (B, 3, S, S) in [-1, 1]."""
    return _unit(clip.visual_projection(clip.vision_model(pictures).pooler_output))


def text_features(clip: CLIPModel, tokens: Tensor) -> Tensor:
    """Unit vectors (B, D) float32 of texts (B, TOKENS) int64."""
    return _unit(clip.text_projection(clip.text_model(tokens).pooler_output))


def contrastive_loss(pictures: Tensor, texts: Tensor, true: Tensor, log_scale: Tensor) -> Tensor:
    """Cross entropy () of each picture's own text among those that are false of it, and the other way round.

    pictures, texts: unit vectors (B, D), row by row of one another; true (B, B) bool: of picture i text j is true. A
    text that is true of a picture, but was said of another, counts neither for it nor against it. Source: arXiv
    2103.00020, figure 3, where all others count against.
    """
    logits = log_scale.exp().clamp(max=LARGEST_SCALE) * pictures @ texts.T
    own = torch.arange(len(pictures), device=logits.device)
    also_true = true.clone().fill_diagonal_(False)
    logits = logits.masked_fill(also_true, -torch.inf)
    loss = nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)
    return loss / 2


class JudgeFolder:
    """What is saved of a judge: the network in float16, and all that CLIPProcessor loads."""

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.clip: Any = clip
        self.tokenizer = tokenizer

    def save_pretrained(self, folder: Path) -> None:
        """Writes the folder of CLIPModel.from_pretrained and CLIPProcessor.from_pretrained."""
        size: int = self.clip.config.vision_config.image_size
        half = [0.5, 0.5, 0.5]  # to [-1, 1], as it was trained
        images = CLIPImageProcessor(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}, image_mean=half, image_std=half
        )
        self.clip.half().save_pretrained(folder)
        self.clip.float()
        images.save_pretrained(folder)
        processor: Any = CLIPProcessor
        processor(images, self.tokenizer).save_pretrained(folder)


def _unit(embeddings: Tensor) -> Tensor:
    return nn.functional.normalize(embeddings.float(), dim=-1)

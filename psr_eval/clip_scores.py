"""What a CLIP model says of images: how well they agree with their texts, and how much they differ from each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core.known_words import require_known
from psr_eval.image_files import Pixels, batched

Array = NDArray[np.float64]


class ClipScorer:
    """Features and scores of a CLIPModel folder of transformers, computed in float32.

    dimension: of the space that images and texts share. Raises ValueError for texts with words that the model's
    tokenizer says it does not know.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self._model: Any = CLIPModel.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
        self._model = self._model.to(device).eval()
        self._processor = CLIPProcessor.from_pretrained(str(folder), local_files_only=True)
        self._device = device
        self.dimension: int = self._model.config.projection_dim

    @torch.no_grad()
    def image_features(self, images: Iterable[Pixels]) -> Array:
        """Unit vectors (N, dimension), one an image (H, W, 3) uint8, which is resized and cut to the model's size."""
        found = [np.empty((0, self.dimension))]
        for batch in batched(images):
            pixels = self._processor.image_processor(batch, return_tensors="pt").pixel_values.to(self._device)
            found.append(_unit(self._model.visual_projection(self._model.vision_model(pixels).pooler_output)))
        return np.concatenate(found)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Array:
        """Unit vectors (N, dimension), one a text, which is cut at the text encoder's length (77 tokens)."""
        tokenizer = self._processor.tokenizer
        require_known(texts, tokenizer)
        length = self._model.config.text_config.max_position_embeddings
        found = [np.empty((0, self.dimension))]
        for batch in batched(texts):
            inputs = tokenizer(batch, return_tensors="pt", padding=True, truncation=True, max_length=length)
            encoded = self._model.text_model(**inputs.to(self._device)).pooler_output
            found.append(_unit(self._model.text_projection(encoded)))
        return np.concatenate(found)

    def scores(self, images: Iterable[Pixels], prompts: Sequence[str]) -> Array:
        """The CLIP score (N,) of each image with its own prompt."""
        return text_agreement(self.image_features(images), self.text_features(prompts))


def text_agreement(image_features: Array, text_features: Array) -> Array:
    """The CLIP score (...), 100 times the cosine, of unit vectors (..., D) with unit vectors (..., D)."""
    agreement: Array = 100 * (image_features * text_features).sum(-1)
    return agreement


def diversity(features: Array) -> Array:
    """Mean of 1 - cosine over all pairs among the n unit vectors (..., n, D) of each group, (...). From 0 (all alike).

    Raises ValueError for groups of one. The pairwise mean is that of LPIPS diversity; the features are not LPIPS's.
    """
    n = features.shape[-2]
    if n < 2:
        raise ValueError(f"features have shape {features.shape}, expected groups of 2 or more")
    squared = np.square(features.sum(-2)).sum(-1)  # n, and the cosines of all ordered pairs
    differing: Array = (1 - (squared - n) / (n * (n - 1))).clip(0)
    return differing


def check_prompts(folder: Path, prompts: Sequence[str]) -> None:
    """Raises ValueError for a prompt with words that the tokenizer of a CLIPModel folder says it does not know."""
    from transformers import CLIPTokenizer

    require_known(prompts, CLIPTokenizer.from_pretrained(str(folder), local_files_only=True))


def _unit(embeddings: Tensor) -> Array:
    vectors = embeddings.double().cpu().numpy()
    lengths: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return lengths

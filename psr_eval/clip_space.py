"""Pictures and texts in the space of a CLIP model: how well they agree, how far pictures are apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from psr_eval.image_metrics import Array, ClipScorer, Pixels, batched


class ClipSpace(ClipScorer):
    """A ClipScorer that also says where pictures are."""

    @torch.no_grad()
    def image_features(self, images: Iterable[Pixels]) -> Array:
        """The pictures' embeddings (N, D), of unit length."""
        features = []
        for batch in batched(images):
            pixels = self._processor(images=batch, return_tensors="pt")["pixel_values"].to(self._device)
            pooled = self._model.vision_model(pixel_values=pixels.to(self._model.dtype))[1]
            features.append(self._model.visual_projection(pooled).double().cpu().numpy())
        found = np.concatenate(features)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

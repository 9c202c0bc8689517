"""The Fréchet distance of two sets of images in a network's features: FID, when they are those of Inception."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from psr_eval.image_files import Pixels, batched

Array = NDArray[np.float64]

RESAMPLES = 50  # enough for a standard error to a tenth of itself


class Statistics(NamedTuple):
    """Mean (D,) and covariance (D, D), both float64, of n features."""

    mean: Array
    covariance: Array
    n: int

    @classmethod
    def of(cls, features: Array) -> Statistics:
        """Of features (n, D), two or more."""
        return cls(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)), len(features))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½). At least 0.

    With A = C_a^½ the last trace is that of (A C_b A)^½, which is symmetric, so singular covariances (few images) are
    no trouble. Source: "GANs trained by a two time-scale update rule" (arXiv 1706.08500), equation 6.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(product.clip(0)).sum()
    return float(max(0.0, np.sum((a.mean - b.mean) ** 2) + traces))


def frechet_standard_error(real: Statistics, groups: Array, seed: int = 0, n: int = RESAMPLES) -> float | None:
    """Bootstrap standard error, over groups, of the distance of features (groups, images, D); None for a single group.

    The images of a group (those of one prompt) are drawn together. An interval is not taken from the resamples: what is
    drawn twice narrows their covariance, so that all of them are farther off than the images themselves.
    """
    if len(groups) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = (groups[rng.integers(0, len(groups), len(groups))] for _ in range(n))
    return float(np.std([frechet_distance(real, Statistics.of(np.concatenate(each))) for each in drawn], ddof=1))


class Inception:
    """The TorchScript Inception network of FID. It is called with uint8 (N, 3, H, W) and return_features=True, resizes
    and normalises by itself, and returns (N, 2048)."""

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            self._network = torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} is no TorchScript file ({reason}); give inception-2015-12-05.pt") from None
        self._device = device

    @torch.no_grad()
    def statistics(self, images: Iterable[Pixels]) -> Statistics:
        """Mean and covariance of the features of two or more images of one size."""
        features = []
        for batch in batched(images):
            pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).to(self._device)
            features.append(self._network(pixels, return_features=True).double().cpu().numpy())
        return Statistics.of(np.concatenate(features))

"""What score distillation asks of a diffusion model: to predict the noise at a level, given a condition.

The priors whose truth is known stand here; a learned one is in psr_core.distillation.learned, those of Stable
Diffusion's family are read by psr_core.distillation.prior_folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from psr_core.distillation.levels import Levels
from psr_core.mixtures import GaussianMixture
from psr_core.steering import Level

Condition = Mapping[str, Tensor]  # named entries such as label (B,) or text (B, L, C), the batch first
UNLABELLED = -1


class Prior(Protocol):
    """A diffusion model as distillation sees it.

    shape: of one sample, such as (2,) or (4, 64, 64). conditions: the entries of a condition that noise() needs, none
    for a model that takes none.
    """

    @property
    def levels(self) -> Levels: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def conditions(self) -> tuple[str, ...]: ...

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        """The predicted noise of x_t (B, *shape) at time t in (0, T], in x's shape and dtype."""

    def unconditional(self, x: Tensor) -> Condition:
        """The entries that guidance replaces, saying nothing, a row for each of x, on its device; the prompt keeps
        others, such as a camera."""

    def encode(self, image: Tensor) -> Tensor:
        """The sample that stands for an image; the image itself where there are no latents."""

    def decode(self, x: Tensor) -> Tensor:
        """The image that a sample stands for."""


class Unencoded:
    """A prior whose samples are no latents of something else."""

    def encode(self, image: Tensor) -> Tensor:
        return image

    def decode(self, x: Tensor) -> Tensor:
        return x


class GaussianMixturePrior(Unencoded):
    """The exact noise prediction of a mixture; labels (M,) int64 >= 0 say to which class each mode belongs.

    A condition's label (B,) asks for the modes of that class, -1 for all. Without labels there is no condition.
    Raises ValueError naming labels or label. Everything is computed in the dtype of x, on the mixture's device.
    """

    def __init__(self, mixture: GaussianMixture, levels: Levels, labels: Tensor | None = None) -> None:
        self.levels, self.shape = levels, (mixture.dim,)
        self.conditions = () if labels is None else ("label",)
        self._classes = {UNLABELLED: mixture}
        if labels is not None:
            _check_labels(labels, len(mixture.weights), "mode")
            for label in sorted(set(labels.tolist())):
                mine = labels == label
                weights = mixture.weights[mine] / mixture.weights[mine].sum()
                self._classes[label] = GaussianMixture(weights, mixture.means[mine], mixture.covariances[mine])

    def mixture(self, label: int = UNLABELLED) -> GaussianMixture:
        """The mixture of one class, or of all. Raises ValueError naming an unknown label."""
        if label not in self._classes:
            raise ValueError(f"label is {label}, expected one of: {', '.join(map(str, self._classes))}")
        return self._classes[label]

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        level = self.levels.level(t)
        if not self.conditions:
            return self._classes[UNLABELLED].denoiser()(x, level)
        return _by_label(x, condition["label"], lambda rows, label: self.mixture(label).denoiser()(rows, level))

    def unconditional(self, x: Tensor) -> Condition:
        return _unlabelled(self, x)


class SampleSetPrior(Unencoded):
    """The ideal denoiser over samples (K, *shape), each as likely: what a network would learn that forgot nothing.

    labels (K,) int64 >= 0 as in GaussianMixturePrior. Computed in the dtype of x, on the samples' device.
    Source: Karras et al. 2022, appendix B.3; MSD, equation 16.
    """

    def __init__(self, samples: Tensor, levels: Levels, labels: Tensor | None = None) -> None:
        if samples.ndim < 2 or not samples.is_floating_point() or 0 in samples.shape or not samples.isfinite().all():
            expected = "finite numbers (K, ...) of a floating dtype"
            raise ValueError(f"samples are {samples.dtype} {tuple(samples.shape)}, expected {expected}")
        if labels is not None:
            _check_labels(labels, len(samples), "sample")
        self.levels, self.shape, self.samples, self.labels = levels, tuple(samples.shape[1:]), samples, labels
        self.conditions = () if labels is None else ("label",)

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        level = self.levels.level(t)
        if self.labels is None:
            return _ideal_noise(x, self.samples, level)
        return _by_label(x, condition["label"], lambda rows, label: _ideal_noise(rows, self._of(label), level))

    def unconditional(self, x: Tensor) -> Condition:
        return _unlabelled(self, x)

    def _of(self, label: int) -> Tensor:
        if label == UNLABELLED or self.labels is None:
            return self.samples
        mine = self.labels == label
        if not mine.any():
            raise ValueError(f"label is {label}, expected one that a sample bears, or {UNLABELLED} for all")
        return self.samples[mine]


def _ideal_noise(x: Tensor, samples: Tensor, level: Level) -> Tensor:
    if level.sigma_t == 0:
        raise ValueError("sample set: time is 0, expected above 0: without noise there is none to predict")
    rows, known = x.flatten(1), samples.flatten(1).to(x.dtype)
    squares = torch.cdist(rows, level.alpha * known, compute_mode="donot_use_mm_for_euclid_dist").square()
    clean = (-squares / (2 * level.sigma_t**2)).softmax(1) @ known
    return ((rows - level.alpha * clean) / level.sigma_t).view(x.shape)


def _by_label(x: Tensor, labels: Tensor, predict: Callable[[Tensor, int], Tensor]) -> Tensor:
    known = sorted(set(labels.tolist()))
    if len(known) == 1:
        return predict(x, known[0])
    result = torch.empty_like(x)
    for label in known:
        mine = labels == label
        result[mine] = predict(x[mine], label)
    return result


def _unlabelled(prior: Prior, x: Tensor) -> Condition:
    return {name: torch.full((len(x),), UNLABELLED, device=x.device) for name in prior.conditions}


def _check_labels(labels: Tensor, count: int, owner: str) -> None:
    if labels.shape != (count,) or labels.dtype != torch.int64 or (labels < 0).any():
        given = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"labels are {given}, expected torch.int64 ({count},) >= 0, one for each {owner}")

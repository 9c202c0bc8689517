"""A small network that predicts noise of vectors: a learned prior for the toys, and what VSD models renderings with."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.distillation.levels import Levels
from psr_core.distillation.prior import UNLABELLED, Condition, Unencoded
from psr_core.training import INIT, NetworkTrainer, TrainSettings, require_least, seed_all

_FREQUENCIES = 8


class VectorNet(nn.Module):
    """x (B, dim), log noise ratio (B,), extra (B, extra) -> (B, dim): a residual perceptron, its last layer zero."""

    def __init__(self, dim: int, extra: int = 0, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(dim + 2 * _FREQUENCIES + extra, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, dim)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, log_ratio: Tensor, extra: Tensor) -> Tensor:
        """The noise (B, D) of x (B, D) at levels of log_ratio (B,), told extra numbers (B, E)."""
        angles = log_ratio[:, None] * (0.25 * 1.5 ** torch.arange(_FREQUENCIES, device=x.device, dtype=x.dtype))
        h = self.enter(torch.cat([x, angles.sin(), angles.cos(), extra], 1))
        for block in self.blocks:
            h = h + block(nn.functional.silu(h))
        predicted: Tensor = self.leave(nn.functional.silu(h))
        return predicted


class LearnedPrior(Unencoded):
    """A noise prediction that was learned from samples (K, D) by train_prior(); in float32 inside.

    classes: number of labels, 0 for none. Times between whole ones are taken as they are.
    """

    def __init__(self, network: VectorNet, levels: Levels, dim: int, classes: int = 0) -> None:
        self.network, self.levels, self.shape, self.classes = network, levels, (dim,), classes
        self.conditions = ("label",) if classes else ()

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        ratio = torch.full((len(x),), self.levels.ratio(t), device=x.device)
        labels = condition["label"] if self.classes else None
        said = predict_noise(self.network, x.float(), ratio, labels, self.classes)
        return said.to(x.dtype)

    def unconditional(self, x: Tensor) -> Condition:
        return {name: torch.full((len(x),), UNLABELLED, device=x.device) for name in self.conditions}


def predict_noise(network: VectorNet, x: Tensor, ratio: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Noise of x_t (B, D) at noise ratios (B,): that of unit-variance data, corrected by the network."""
    extra = x.new_zeros(len(x), classes)
    if labels is not None:
        extra = (labels[:, None] == torch.arange(classes, device=x.device)).to(x.dtype)  # UNLABELLED is all zeros
    sigma_t = (ratio / (1 + ratio**2).sqrt())[:, None]
    correction: Tensor = network(x, ratio.log(), extra)
    return sigma_t * x + correction


@dataclass(frozen=True)
class PriorSettings(TrainSettings):
    """TrainSettings with defaults for vectors. unlabelled: how often a label is hidden, for guidance. width: of the
    network's layers. Raises ValueError naming the field."""

    steps: int = 3000
    batch_size: int = 512
    lr: float = 2e-3
    warmup_steps: int = 50
    ema_max: float = 0.999
    unlabelled: float = 0.15
    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, {"width": 1})
        if not 0 <= self.unlabelled <= 1:
            raise ValueError(f"unlabelled is {self.unlabelled}, expected 0 to 1")


class PriorTrainer(NetworkTrainer):
    """Trains a VectorNet on samples (K, D) and labels (K,), in float32, at log-uniform noise ratios."""

    settings: PriorSettings

    def __init__(self, settings: PriorSettings, samples: Tensor, labels: Tensor | None, levels: Levels) -> None:
        seed_all(settings.seed, INIT, 0)
        self.samples, self.labels, self.levels = samples.float(), labels, levels
        self.classes = 0 if labels is None else int(labels.max()) + 1
        network = VectorNet(samples.shape[1], self.classes, settings.width).to(samples.device)
        super().__init__(settings, network, copy.deepcopy(network), len(samples), samples.device)

    def batch_loss(self, index: Tensor) -> Tensor:
        """The error () of the noise predicted of samples (B,) at random levels."""
        x = self.samples[index.to(self.device)]
        low, high = (math.log(self.levels.ratio(t)) for t in (1, self.levels.last))
        ratio = torch.empty(len(x), device=self.device).uniform_(low, high).exp()
        eps = torch.randn_like(x)
        noisy = (x + ratio[:, None] * eps) / (1 + ratio**2).sqrt()[:, None]
        labels = None
        if self.labels is not None:
            hidden = torch.rand(len(x), device=self.device) < self.settings.unlabelled
            labels = self.labels[index.to(self.device)].masked_fill(hidden, UNLABELLED)
        network: Any = self.network
        return (predict_noise(network, noisy, ratio, labels, self.classes) - eps).square().mean()


def train_prior(
    samples: Tensor, levels: Levels, labels: Tensor | None = None, settings: PriorSettings | None = None
) -> LearnedPrior:
    """A prior learned from samples (K, D), on their device; with its averaged weights, frozen."""
    trainer = PriorTrainer(settings or PriorSettings(), samples, labels, levels)
    for _ in range(trainer.settings.steps):
        trainer.train_step()
    network: Any = trainer.averaged_network
    return LearnedPrior(network.requires_grad_(False).eval(), levels, samples.shape[1], trainer.classes)

"""What every training of the suite has in common: addressed randomness, learning rate, averaged weights, decay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.seeds import noise_generator


def seed_all(seed: int, stream: int, index: int) -> None:
    """Seeds torch's own generators by an address, so that a resumed run draws what it would have drawn."""
    torch.manual_seed(noise_generator(seed, stream, index).initial_seed())


def batch_order(count: int, batch_size: int, step: int, seed: int, stream: int) -> Tensor:
    """Which of `count` items a step's batch holds, (<= batch_size,) int64.

    Every epoch is its own shuffle, its incomplete last batch left out; a batch larger than count is all of them.
    """
    size = min(batch_size, count)
    epoch, batch = divmod(step, count // size)
    order = torch.randperm(count, generator=noise_generator(seed, stream, epoch))
    return order[batch * size : (batch + 1) * size]


def cosine_learning_rate(step: int, steps: int, warmup_steps: int, lr: float) -> float:
    """Learning rate of a step (from 0): a linear rise to lr over warmup_steps, then half a cosine down to 0."""
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def ema_decay(step: int, power: float, largest: float) -> float:
    """How much of the averaged weights is kept at a step: 1 - (1 + step)^-power, at most `largest`; 0 at the first."""
    return min(largest, 1 - math.pow(1 + max(0, step - 1), -power))


@torch.no_grad()
def average_weights(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights towards the model's, keeping `decay` of them."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight matrices and kernels decay; biases, norms and positions do not."""
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decayed if parameter.ndim >= 2 and not name.endswith("pos_emb") else kept).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def require_least(settings: Any, least: Mapping[str, int]) -> None:
    """Raises ValueError naming the field of settings that is not an integer of at least this."""
    for name, smallest in least.items():
        value = getattr(settings, name)
        if type(value) is not int or value < smallest:
            raise ValueError(f"{name} is {value!r}, expected an integer >= {smallest}")


def require_finite(settings: Any, names: Iterable[str]) -> None:
    """Raises ValueError naming the field of settings that is not a number of at least 0."""
    for name in names:
        if not 0 <= getattr(settings, name) < math.inf:
            raise ValueError(f"{name} is {getattr(settings, name)}, expected a number >= 0")

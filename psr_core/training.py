"""What every training of the suite has in common: settings, addressed randomness, one optimiser step, averaged weights.

All randomness follows from (seed, stream, index), so that a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.seeds import noise_generator

INIT, STEP, ORDER, VALIDATION = range(4)  # streams


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. Everything here changes the result, and a run resumes only with the same values.

    steps: optimiser steps in all; the learning rate rises linearly over warmup_steps and falls to 0 as a cosine.
    batch_size: items a step. betas, weight_decay: AdamW's. grad_clip: largest gradient norm, 0 for none. ema_power,
    ema_max: the averaged weights decay with 1 - (1 + step)^-ema_power, at most ema_max.
    Raises ValueError naming the field.
    """

    steps: int = 20000
    batch_size: int = 256
    lr: float = 1e-4
    warmup_steps: int = 500
    betas: tuple[float, float] = (0.95, 0.999)
    weight_decay: float = 1e-6
    grad_clip: float = 0.0
    ema_power: float = 0.75
    ema_max: float = 0.9999
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        require_least(self, {"steps": 1, "batch_size": 1, "warmup_steps": 0, "seed": 0})
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}, expected a number > 0")
        require_finite(self, ("weight_decay", "grad_clip"))


class NetworkTrainer:
    """Trains one network and averages its weights; a subclass says what the loss is.

    network: what the optimiser changes, on its device; averaged_network: another of the same weights, to keep. items:
    how many there are to learn from. step: steps done.
    """

    def __init__(
        self, settings: TrainSettings, network: nn.Module, averaged_network: nn.Module, items: int, device: torch.device
    ) -> None:
        self.settings, self.network, self.averaged_network = settings, network, averaged_network
        self.items, self.device, self.step = items, device, 0
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, settings.weight_decay), lr=settings.lr, betas=settings.betas, fused=True
        )

    def batch_loss(self, index: Tensor) -> Tensor:
        """The loss () of the network on the items (B,) of a batch."""
        raise NotImplementedError

    def train_step(self) -> float:
        """One optimiser step; returns its loss. Raises ValueError, and changes nothing, when that is not finite."""
        settings = self.settings
        seed_all(settings.seed, STEP, self.step)
        self.network.train()
        loss = self.batch_loss(batch_order(self.items, settings.batch_size, self.step, settings.seed, ORDER))
        if not math.isfinite(loss.item()):
            raise ValueError(f"loss is {loss.item()} at step {self.step}; train again with a smaller lr")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.grad_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        decay = ema_decay(self.step, settings.ema_power, settings.ema_max)
        average_weights(self.averaged_network, self.network, decay)
        self.step += 1
        return loss.item()

    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return cosine_learning_rate(self.step, self.settings.steps, self.settings.warmup_steps, self.settings.lr)

    def state(self) -> dict[str, Any]:
        """Everything that resume() needs."""
        return {
            "step": self.step,
            "model": self.network.state_dict(),
            "averaged": self.averaged_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continues from state(): the next steps are those an uninterrupted run would take."""
        self.step = state["step"]
        self.network.load_state_dict(state["model"])
        self.averaged_network.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])


def seed_all(seed: int, stream: int, index: int) -> None:
    """Seeds torch's own generators by an address."""
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

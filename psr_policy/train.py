"""Training of diffusion policies: what is learned, with which settings, one step at a time."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.seeds import noise_generator
from psr_core.training import (
    average_weights,
    batch_order,
    cosine_learning_rate,
    ema_decay,
    parameter_groups,
    require_finite,
    require_least,
    seed_all,
)
from psr_policy.config import PolicyConfig
from psr_policy.dataset import Demonstrations, windows
from psr_policy.policy import DiffusionPolicy, make_scheduler

# Streams of random numbers, addressed by (seed, stream, index): a resumed run draws what it would have drawn.
INIT, STEP, ORDER, VALIDATION = range(4)
VALIDATION_WINDOWS = 2048


@dataclass(frozen=True)
class TrainSettings:
    """How a policy is trained. Everything here changes the result, and a run resumes only with the same values.

    steps: optimiser steps in all; the learning rate rises linearly over warmup_steps and falls to 0 as a cosine.
    batch_size: windows a step. grad_clip: largest gradient norm, 0 for none. ema_power, ema_max: the averaged weights
    decay with 1 - (1 + step)^-ema_power, at most ema_max. obs_normalization: see Normalizer.fit.
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
    obs_normalization: str = "limits"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        require_least(self, {"steps": 1, "batch_size": 1, "warmup_steps": 0, "seed": 0})
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}, expected a number > 0")
        require_finite(self, ("weight_decay", "grad_clip"))


class Trainer:
    """Weights, averaged weights and optimiser of one run; all randomness follows from settings.seed and the step.

    policy: what the optimiser changes; averaged: the policy with averaged weights, the one to keep. step: steps done.
    train, valid: demonstrations to learn from and, if any, to judge by.
    """

    def __init__(
        self,
        config: PolicyConfig,
        settings: TrainSettings,
        train: Demonstrations,
        valid: Demonstrations | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.settings, self.device = config, settings, torch.device(device)
        seed_all(settings.seed, INIT, 0)
        self.policy = DiffusionPolicy(config)
        self.policy.normalizer.fit(train.obs, train.actions, settings.obs_normalization, train.unit_actions)
        self.policy.to(self.device)
        self.averaged = copy.deepcopy(self.policy).eval()
        self.step = 0
        self.train_data = Windows(train, self.policy)
        self.valid_data = Windows(valid, self.policy) if valid is not None else None
        self.alphas_cumprod = make_scheduler(config, "ddpm").alphas_cumprod.to(self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.policy.model, settings.weight_decay), lr=settings.lr, betas=settings.betas, fused=True
        )

    @property
    def identity(self) -> dict[str, Any]:
        """The policy's config: a run resumes only with the same."""
        return self.config.to_dict()

    def train_step(self) -> float:
        """One optimiser step; returns its loss. Raises ValueError, and changes nothing, when that is not finite."""
        settings = self.settings
        seed_all(settings.seed, STEP, self.step)
        self.policy.model.train()
        loss = self._loss(self.policy.model, *self.train_data.batch(self._order(self.step)))
        if not math.isfinite(loss.item()):
            raise ValueError(f"loss is {loss.item()} at step {self.step}; train again with a smaller lr")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.grad_clip:
            nn.utils.clip_grad_norm_(self.policy.model.parameters(), settings.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        decay = ema_decay(self.step, settings.ema_power, settings.ema_max)
        average_weights(self.averaged.model, self.policy.model, decay)
        self.step += 1
        return loss.item()

    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return cosine_learning_rate(self.step, self.settings.steps, self.settings.warmup_steps, self.settings.lr)

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Mean loss of the averaged weights on held-out windows, always with the same noise; None without any."""
        if self.valid_data is None:
            return None
        count = min(len(self.valid_data.index), VALIDATION_WINDOWS)
        rows = torch.randperm(len(self.valid_data.index), generator=self._generator(VALIDATION, 0))[:count]
        total = 0.0
        for i, part in enumerate(torch.split(rows, 256)):
            seed_all(self.settings.seed, VALIDATION, 1 + i)
            total += self._loss(self.averaged.model, *self.valid_data.batch(part)).item() * len(part)
        return total / count

    def sample_obs(self, count: int = 64) -> Tensor:
        """Raw observation histories (<= count, To, Do) from the held-out windows, or the training ones without any."""
        data = self.valid_data or self.train_data
        rows = torch.linspace(0, len(data.index) - 1, min(count, len(data.index))).long()
        return self.policy.normalizer.obs.unnormalize(data.batch(rows)[0])

    def state(self) -> dict[str, Any]:
        """Everything that resume() needs."""
        return {
            "step": self.step,
            "model": self.policy.model.state_dict(),
            "averaged": self.averaged.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continues from state(): the next steps are those an uninterrupted run would take."""
        self.step = state["step"]
        self.policy.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _loss(self, model: nn.Module, obs: Tensor, actions: Tensor) -> Tensor:
        noise = torch.randn(actions.shape).to(self.device)
        timesteps = torch.randint(self.config.num_train_timesteps, (len(actions),)).to(self.device)
        alpha_bar = self.alphas_cumprod[timesteps][:, None, None]
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        prediction = model(alpha * actions + sigma * noise, timesteps, obs)
        if self.config.prediction_type == "epsilon":
            target = noise
        elif self.config.prediction_type == "sample":
            target = actions
        else:
            target = alpha * noise - sigma * actions
        return nn.functional.mse_loss(prediction, target)

    def _order(self, step: int) -> Tensor:
        """Window numbers of a step's batch: every epoch is its own shuffle, its incomplete last batch left out."""
        return batch_order(len(self.train_data.index), self.settings.batch_size, step, self.settings.seed, ORDER)

    def _generator(self, stream: int, index: int) -> torch.Generator:
        return noise_generator(self.settings.seed, stream, index)


class Windows:
    """Normalised demonstrations on a device, and the windows in them."""

    def __init__(self, data: Demonstrations, policy: DiffusionPolicy) -> None:
        device = policy.normalizer.obs.scale.device
        self.n_obs_steps = policy.config.n_obs_steps
        self.obs = policy.normalizer.obs.normalize(data.obs.to(device))
        self.actions = policy.normalizer.action.normalize(data.actions.to(device))
        self.index = windows(data.lengths, policy.config).to(device)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised observations (B, To, Do) and actions (B, horizon, Da) of window numbers (B,)."""
        index = self.index[rows.to(self.index.device)]
        return self.obs[index[:, : self.n_obs_steps]], self.actions[index]

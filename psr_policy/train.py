"""Training of diffusion policies: what is learned, with which settings, one step at a time."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.seeds import noise_generator
from psr_core.training import INIT, VALIDATION, NetworkTrainer, TrainSettings, seed_all
from psr_policy.config import PolicyConfig
from psr_policy.dataset import Demonstrations, windows
from psr_policy.policy import DiffusionPolicy, make_scheduler

VALIDATION_WINDOWS = 2048


@dataclass(frozen=True)
class PolicyTrainSettings(TrainSettings):
    """How a policy is trained; an item of a batch is a window. obs_normalization: see Normalizer.fit."""

    obs_normalization: str = "limits"


class Trainer(NetworkTrainer):
    """Trains a policy's network.

    policy: what the optimiser changes; averaged: the policy with averaged weights, the one to keep.
    train, valid: demonstrations to learn from and, if any, to judge by.
    """

    def __init__(
        self,
        config: PolicyConfig,
        settings: PolicyTrainSettings,
        train: Demonstrations,
        valid: Demonstrations | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, place = config, torch.device(device)
        seed_all(settings.seed, INIT, 0)
        self.policy = DiffusionPolicy(config)
        self.policy.normalizer.fit(train.obs, train.actions, settings.obs_normalization, train.unit_actions)
        self.policy.to(place)
        self.averaged = copy.deepcopy(self.policy).eval()
        self.train_data = Windows(train, self.policy)
        self.valid_data = Windows(valid, self.policy) if valid is not None else None
        self.alphas_cumprod = make_scheduler(config, "ddpm").alphas_cumprod.to(place)
        super().__init__(settings, self.policy.model, self.averaged.model, len(self.train_data.index), place)

    @property
    def identity(self) -> dict[str, Any]:
        """The policy's config: a run resumes only with the same."""
        return self.config.to_dict()

    def batch_loss(self, index: Tensor) -> Tensor:
        return self._loss(self.policy.model, *self.train_data.batch(index))

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Mean loss of the averaged weights on held-out windows, always with the same noise; None without any."""
        if self.valid_data is None:
            return None
        count = min(len(self.valid_data.index), VALIDATION_WINDOWS)
        rows = torch.randperm(len(self.valid_data.index), generator=noise_generator(self.settings.seed, VALIDATION, 0))[
            :count
        ]
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

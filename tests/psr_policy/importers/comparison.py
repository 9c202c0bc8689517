"""What two policies must agree on."""

from __future__ import annotations

import torch
from torch import Tensor

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.policy import DiffusionPolicy


def raw_obs(policy: DiffusionPolicy, rows: int = 4) -> Tensor:
    """Raw observation histories (B, To, Do) about as large as those the policy was fitted to."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(rows, policy.config.n_obs_steps, policy.config.obs_dim, generator=generator)


@torch.no_grad()
def eps(policy: DiffusionPolicy, obs: Tensor | None = None) -> Tensor:
    """Predicted noise for fixed noised actions, timesteps and raw observations."""
    obs = raw_obs(policy) if obs is None else obs
    config, generator = policy.config, torch.Generator().manual_seed(4)
    sample = torch.randn(len(obs), config.horizon, config.action_dim, generator=generator)
    timesteps = torch.linspace(0, config.num_train_timesteps - 1, len(obs)).long()
    return policy.model(sample, timesteps, policy.normalizer.obs.normalize(obs))


def actions(policy: DiffusionPolicy, obs: Tensor | None = None) -> Tensor:
    """Raw actions of five DDIM steps from fixed noise."""
    obs = raw_obs(policy) if obs is None else obs
    generators = [noise_generator(0, 0, row) for row in range(len(obs))]
    return policy.sample(obs, steering=Steering(), sampler="ddim", num_inference_steps=5, generators=generators)

"""DiffusionPolicy: a network, its normalisation, and sampling under a Steering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor, nn

from psr_core.scheduler_levels import refusal
from psr_core.schedulers import steer
from psr_core.steering import Steering
from psr_policy.config import PolicyConfig, TransformerOptions, UnetOptions
from psr_policy.normalizer import Normalizer
from psr_policy.transformer import TransformerForDiffusion
from psr_policy.unet1d import ConditionalUnet1D

SAMPLERS = ("ddim", "ddpm")


class DiffusionPolicy(nn.Module):
    """Samples action sequences for observation histories.

    config: what it is; model: the network; normalizer: raw units <-> the network's; checkpoint_id: "<folder>@<first 12
    digits of the weights' sha256>" once saved or loaded, "unsaved" before.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpoint_id = "unsaved"
        self.model = build_network(config)
        self.normalizer = Normalizer(config.obs_dim, config.action_dim)

    @property
    def action_low(self) -> NDArray[np.float32]:
        """Smallest action in the demonstrations, (Da,) float32; -1 for rotation and gripper."""
        low: NDArray[np.float32] = self.normalizer.action.min.cpu().numpy()
        return low.copy()

    @property
    def action_high(self) -> NDArray[np.float32]:
        """Largest action in the demonstrations, (Da,) float32; 1 for rotation and gripper."""
        high: NDArray[np.float32] = self.normalizer.action.max.cpu().numpy()
        return high.copy()

    def refusal(self, steering: Steering, sampler: str) -> str | None:
        """Why a sampler cannot take a steering, and what to use instead; None where it can.

        Raises ValueError for a sampler that there is not.
        """
        return refusal(make_scheduler(self.config, sampler), steering)

    @torch.no_grad()
    def sample(
        self,
        obs: Tensor,
        *,
        steering: Steering,
        sampler: str,
        num_inference_steps: int,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Raw action sequences (B, horizon, Da) float32 for raw observation histories (B, To, Do).

        sampler: "ddim" (deterministic from the first noise) or "ddpm". num_inference_steps: 1 to num_train_timesteps.
        generators: one CPU generator a row; all of a row's noise comes from its own, so that what it draws does not
        depend on the rest of the batch. Raises ValueError naming what does not fit, or why the sampler cannot take the
        steering.
        """
        config = self.config
        if obs.shape[1:] != (config.n_obs_steps, config.obs_dim):
            expected = f"(B, {config.n_obs_steps}, {config.obs_dim})"
            raise ValueError(f"obs has shape {tuple(obs.shape)}, expected {expected}")
        if len(generators) != len(obs):
            raise ValueError(f"generators has {len(generators)} entries, expected one for each of {len(obs)} rows")
        scheduler = steered_scheduler(config, steering, sampler, num_inference_steps)
        device = self.normalizer.obs.scale.device
        condition = self.normalizer.obs.normalize(obs.to(device, torch.float32))
        shape = (config.horizon, config.action_dim)
        x = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)
        # diffusers takes the injected noise of a list of generators row by row.
        extra = {"generator": list(generators)} if sampler == "ddpm" else {}
        for timestep in scheduler.timesteps:
            prediction = self.model(x, timestep.to(device).expand(len(x)), condition)
            x = scheduler.step(prediction, timestep, x, **extra).prev_sample
        return self.normalizer.action.unnormalize(x)


def build_network(config: PolicyConfig) -> nn.Module:
    """The network a config describes, freshly initialised; called with (sample, timesteps, condition)."""
    options = config.network_options
    if isinstance(options, UnetOptions):
        return ConditionalUnet1D(config.action_dim, config.n_obs_steps * config.obs_dim, options)
    assert isinstance(options, TransformerOptions)
    return TransformerForDiffusion(config.action_dim, config.obs_dim, config.horizon, config.n_obs_steps, options)


def steered_scheduler(
    config: PolicyConfig, steering: Steering, sampler: str, num_inference_steps: int
) -> DDIMScheduler | DDPMScheduler:
    """The scheduler that a policy of this config samples with, ready for the first step.

    Raises ValueError when the sampler cannot take the steering, is not one of SAMPLERS, or for a number of steps
    outside 1 to num_train_timesteps.
    """
    scheduler = steer(make_scheduler(config, sampler), steering)
    set_timesteps(scheduler, num_inference_steps)
    return scheduler


def make_scheduler(config: PolicyConfig, sampler: str) -> DDIMScheduler | DDPMScheduler:
    """The stock diffusers scheduler of a policy, for "ddim" or "ddpm", as the reference sets it up."""
    common = {
        "num_train_timesteps": config.num_train_timesteps,
        "beta_schedule": config.beta_schedule,
        "prediction_type": config.prediction_type,
        "clip_sample": config.clip_sample,
        "timestep_spacing": "leading",
        "steps_offset": 0,
    }
    if sampler == "ddim":
        return DDIMScheduler(**common, set_alpha_to_one=True)
    if sampler == "ddpm":
        return DDPMScheduler(**common, variance_type="fixed_small")
    raise ValueError(f"sampler is {sampler!r}, expected one of: {', '.join(SAMPLERS)}")


def set_timesteps(scheduler: DDIMScheduler | DDPMScheduler, num_inference_steps: int) -> None:
    """Fixes the number of network calls. Raises ValueError outside 1 to num_train_timesteps."""
    largest = scheduler.config.num_train_timesteps
    if type(num_inference_steps) is not int or not 1 <= num_inference_steps <= largest:
        raise ValueError(f"num_inference_steps is {num_inference_steps!r}, expected an integer from 1 to {largest}")
    scheduler.set_timesteps(num_inference_steps)

"""What an ideal network says of N(MEAN, SPREAD²) data, and a loop that samples under any diffusers scheduler."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from psr_core.scheduler_levels import family_of
from psr_core.steering import Level

MEAN, SPREAD = 0.3, 0.2


def ideal_prediction(kind: str, x: Tensor, level: Level) -> Tensor:
    """The exact conditional expectation of the noise, the clean sample, v or the flow, given x at a level."""
    alpha, sigma_t = level
    off = x - alpha * MEAN
    variance = alpha**2 * SPREAD**2 + sigma_t**2
    eps, clean = sigma_t * off / variance, MEAN + alpha * SPREAD**2 * off / variance
    scale = math.hypot(alpha, sigma_t)
    predictions = {
        "epsilon": eps,
        "sample": clean,
        "v_prediction": (alpha * eps - sigma_t * clean) / scale,
        "flow_prediction": eps - clean,
    }
    return predictions[kind]


def make(cls: type, kind: str = "epsilon", **config: Any) -> Any:
    """A scheduler of a class; config entries that it does not know are left out."""
    config = {"beta_schedule": "scaled_linear", "clip_sample": False, "original_inference_steps": 100, **config}
    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if "prediction_type" in known:
        config["prediction_type"] = kind
    return cls(**{name: value for name, value in config.items() if name in known})


def trajectory(scheduler: Any, steps: int, x: Tensor, kind: str = "epsilon", predict: Any = ideal_prediction) -> Tensor:
    """The sample that the scheduler reaches from standard normal noise x, with noise of its own from seed 0."""
    scheduler.set_timesteps(steps)
    x = x * float(getattr(scheduler, "init_noise_sigma", 1.0))
    generator = torch.Generator().manual_seed(0)
    parameters = inspect.signature(scheduler.step).parameters
    extra = {"generator": generator} if "generator" in parameters else {}
    for timestep in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, timestep)
        level = family_of(scheduler).level(scheduler, timestep)
        x = scheduler.step(predict(kind, x, level), timestep, x, **extra).prev_sample
    return x


def noise(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)

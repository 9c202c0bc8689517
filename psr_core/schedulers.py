"""Steers diffusers' schedulers: same calls, same class names on disk, another dial."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from diffusers import DDIMScheduler, DDPMScheduler

from psr_core.steering import Steering, steer_epsilon, steer_sample, steer_v

Scheduler = TypeVar("Scheduler", DDIMScheduler, DDPMScheduler)
STEERABLE = (DDIMScheduler, DDPMScheduler)


def steer(scheduler: Scheduler, steering: Steering) -> Scheduler:
    """A copy of a DDIM or DDPM scheduler whose steps are taken with the steered prediction.

    The copy is used like the original and reports the stock class name, so that a pipeline saved with it loads
    everywhere (steer it again after loading). Its attribute `steering` may be replaced between two steps. Prediction
    types epsilon, v_prediction and sample. k = 1 is bit-identical to the stock scheduler.
    Raises TypeError for a scheduler of another class.
    """
    if not isinstance(scheduler, STEERABLE):
        expected = " or ".join(c.__name__ for c in STEERABLE)
        raise TypeError(f"cannot steer {type(scheduler).__name__}; expected {expected}")
    steered = _stock_copy(scheduler)
    stock = type(steered)
    # diffusers writes type(x).__name__ and __module__ to disk: keep the stock ones, so that what is saved is stock.
    steered.__class__ = type(stock.__name__, (_Steered, stock), {"__module__": stock.__module__})
    steered.steering = steering
    result: Scheduler = steered
    return result


def _stock_copy(scheduler: Any) -> Any:
    stock = type(scheduler).__mro__[2] if isinstance(scheduler, _Steered) else type(scheduler)
    duplicate: Any = object.__new__(stock)
    duplicate.__dict__.update({name: value for name, value in vars(scheduler).items() if name != "steering"})
    return duplicate


class _Steered:
    """What a steered scheduler adds to its stock class."""

    steering: Steering

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.steering.is_identity:
            model_output = self._steer(model_output, int(timestep), sample)
        return super().step(model_output, timestep, sample, *args, **kwargs)  # type: ignore[misc]

    def _steer(self, model_output: torch.Tensor, timestep: int, sample: torch.Tensor) -> torch.Tensor:
        alpha_bar = self.alphas_cumprod[timestep].to(sample.device)  # type: ignore[attr-defined]
        # Networks that also predict their variance put it behind the prediction, along the channels.
        channels = sample.shape[1]
        prediction, rest = model_output[:, :channels], model_output[:, channels:]
        kind = self.config.prediction_type  # type: ignore[attr-defined]
        if kind == "epsilon":
            prediction = steer_epsilon(prediction, alpha_bar, self.steering)
        elif kind == "v_prediction":
            prediction = steer_v(prediction, sample, alpha_bar, self.steering)
        elif kind == "sample":
            prediction = steer_sample(prediction, sample, alpha_bar, self.steering)
        else:
            raise ValueError(f"prediction_type is {kind!r}, expected epsilon, v_prediction or sample")
        return torch.cat([prediction, rest], dim=1)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # pickle looks a class up by name and would find the stock one; copies go through steer() instead.
        return steer, (_stock_copy(self), self.steering)

"""Steers diffusers' schedulers: same calls, same class names on disk, another dial."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from psr_core.integrators import Centre, ancestral_mean, extrapolated_centre, gaussian_step, mode_centre
from psr_core.predictions import clean_and_noise, steer_prediction
from psr_core.scheduler_levels import FAMILIES, family_of, refusal
from psr_core.steering import Level, Steering, noise_factor

Steerable = TypeVar("Steerable")  # a diffusers scheduler or pipeline
STEERABLE = tuple(FAMILIES)


def steer(target: Steerable, steering: Steering) -> Steerable:
    """A copy of a diffusers scheduler whose steps are steered, or of a pipeline (networks shared) with one such.

    A scheduler is used like the original and reports the stock class name, so that what is saved with it loads
    everywhere (steer it again after loading). Its attribute `steering` may be replaced between two steps. Takes every
    prediction type of the stock class; the prediction that is rescaled is the one handed to step(), after guidance. An
    identity steering (k = 1, plain) hands each call to the stock step untouched.
    Raises TypeError for a scheduler whose steps are not known, ValueError for a steering that it cannot take.
    """
    if hasattr(target, "scheduler"):  # a pipeline; to ask isinstance would import all of diffusers' pipelines
        pipeline: Any = copy.copy(target)
        pipeline._internal_dict = copy.copy(pipeline._internal_dict)
        pipeline.scheduler = steer(target.scheduler, steering)
        return pipeline  # type: ignore[no-any-return]
    family_of(target)
    steered = _stock_copy(target)
    steered.__class__ = _steered_class(type(steered), steering)
    steered.steering = steering
    return steered  # type: ignore[no-any-return]


def _steered_class(stock: Any, steering: Steering) -> type:
    names = _option_names(stock)

    @functools.wraps(stock.step)
    def step(self: Any, model_output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named: Any) -> Any:
        # Pipelines look at step's signature to see whether it takes eta and a generator: wraps shows them the stock's.
        if self._steering.is_identity:
            return stock.step(self, model_output, timestep, sample, *rest, **named)
        options = dict(zip(names, rest, strict=False), **named)
        return self._steered_step(_Call(functools.partial(stock.step, self), model_output, timestep, sample, options))

    # diffusers writes type(x).__name__ and __module__ to disk: keep the stock ones, so that what is saved is stock.
    # The steering stands on the class, too, so that type(scheduler).from_config(...) has it.
    members = {"__module__": stock.__module__, "_steering": steering, "step": step}
    return type(stock.__name__, (_Steered, stock), members)


@functools.cache
def _option_names(stock: Any) -> tuple[str, ...]:
    """What step() takes behind the prediction, the timestep and the sample."""
    return tuple(inspect.signature(stock.step).parameters)[4:]


def _stock_copy(scheduler: Any) -> Any:
    stock = type(scheduler).__mro__[2] if isinstance(scheduler, _Steered) else type(scheduler)
    duplicate: Any = object.__new__(stock)
    own = ("_steering", "_centre")
    duplicate.__dict__.update({name: value for name, value in vars(scheduler).items() if name not in own})
    return duplicate


class _Steered:
    """What a steered scheduler adds to its stock class."""

    _steering: Steering
    _centre: Centre | None = None  # of the step before, for the second-order integrator

    @property
    def steering(self) -> Steering:
        """The dial; a new one takes effect at the next step. Raises ValueError where the scheduler cannot take it."""
        return self._steering

    @steering.setter
    def steering(self, steering: Steering) -> None:
        reason = refusal(self, steering)
        if reason:
            raise ValueError(reason)
        self._steering = steering

    def _steered_step(self, call: _Call) -> Any:
        steering, family = self._steering, family_of(self)
        level = family.level(self, call.timestep)
        if steering.method == "nns":
            next_level = family.next_level(self, call.timestep)
            return call.replacing_previous_sample(lambda out: self._less_noise(out, call.sample, level, next_level))
        if steering.integrator != "plain":
            call.refuse_noise(f"steering.integrator {steering.integrator!r} follows the deterministic flow")
            moved = self._gaussian_step(call, level, family.next_level(self, call.timestep))
            return call.replacing_previous_sample(lambda _: moved)
        kept = 1.0
        if steering.cap:
            call.refuse_noise("steering.cap is computed for steps without it")
            kept = family.kept(level, family.next_level(self, call.timestep))
        factor = noise_factor(level, steering, kept)
        prediction, rest = call.prediction_and_rest()
        steered = steer_prediction(self._kind, prediction, call.sample, level, factor)
        return call.stock(steered if rest is None else torch.cat([steered, rest], dim=1))

    def _less_noise(self, out: Any, sample: Tensor, level: Level, next_level: Level) -> Tensor:
        """Naive noise scaling: what the stock step put beside its mean, divided by k'."""
        dtype = torch.promote_types(sample.dtype, torch.float32)
        mean = ancestral_mean(sample.to(dtype), out.pred_original_sample.to(dtype), level, next_level)
        noise: Tensor = out.prev_sample - mean
        return mean + noise / self._steering.k

    def _gaussian_step(self, call: _Call, level: Level, next_level: Level) -> Tensor:
        x = call.sample.to(torch.promote_types(call.sample.dtype, torch.float32))
        clean, eps = clean_and_noise(self._kind, call.prediction_and_rest()[0], x, level)
        limited = self._limit(clean)
        if limited is not clean:
            eps = (x - level.alpha * limited) / level.sigma_t
        centre = self._limit(mode_centre(limited, eps, level, self._steering))
        aim = centre
        if self._steering.integrator == "gaussian2":
            last = self._centre
            if last is not None and _continues(last, centre, level):
                aim = self._limit(extrapolated_centre(last, centre, level, next_level, self._steering))
            self._centre = Centre(level, centre)
        return gaussian_step(x, aim, level, next_level, self._steering)

    def _limit(self, clean: Tensor) -> Tensor:
        """Data stays in the range that the scheduler's configuration says; so do clean samples and mode centres."""
        config = self.config  # type: ignore[attr-defined]
        if config.get("thresholding", False):
            limited: Tensor = self._threshold_sample(clean)  # type: ignore[attr-defined]
            return limited
        if config.get("clip_sample", False):
            return clean.clamp(-config.clip_sample_range, config.clip_sample_range)
        return clean

    @property
    def _kind(self) -> str:
        kind = self.config.get("prediction_type", "flow_prediction")  # type: ignore[attr-defined]
        return "sample" if kind == "original_sample" else str(kind)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # pickle looks a class up by name and would find the stock one; copies go through steer() instead.
        return steer, (_stock_copy(self), self._steering)


def _continues(last: Centre, centre: Tensor, level: Level) -> bool:
    """Whether the remembered centre is of this trajectory: same shape, and the noise has gone down since."""
    cleaner = last.level.sigma_t * level.alpha > level.sigma_t * last.level.alpha
    return cleaner and last.value.shape == centre.shape and last.value.device == centre.device


@dataclass
class _Call:
    """One call of step(): its arguments, and the stock step that may answer it."""

    stock_step: Callable[..., Any]
    output: Tensor
    timestep: Any
    sample: Tensor
    options: dict[str, Any]

    def stock(self, output: Tensor) -> Any:
        """The stock step's answer, had the model said `output`."""
        return self.stock_step(output, self.timestep, self.sample, **self.options)

    def prediction_and_rest(self) -> tuple[Tensor, Tensor | None]:
        """The prediction, and what networks that also predict their variance put behind it along the channels."""
        if self.output.shape == self.sample.shape:
            return self.output, None
        channels = self.sample.shape[1]
        return self.output[:, :channels], self.output[:, channels:]

    def refuse_noise(self, why: str) -> None:
        """Raises ValueError when the call asks for noise, or for levels, beyond the scheduler's own."""
        asked = {name: self.options[name] for name in ("eta", "s_churn") if self.options.get(name, 0) > 0}
        if self.options.get("per_token_timesteps") is not None:
            asked["per_token_timesteps"] = "a tensor"
        for name, value in asked.items():
            raise ValueError(f"step() was called with {name}={value}, but {why}; leave {name} at its default")

    def replacing_previous_sample(self, replace: Callable[[Any], Tensor]) -> Any:
        """The stock step's answer (it keeps its own books) with another prev_sample, in the stock one's dtype."""
        out = self.stock_step(self.output, self.timestep, self.sample, **{**self.options, "return_dict": True})
        out.prev_sample = replace(out).to(out.prev_sample.dtype)
        return out if self.options.get("return_dict", True) else out.to_tuple()

"""Which noise level a diffusers scheduler is at, which it goes to next, and which steerings it can take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)

from psr_core.steering import Level, Steering, kept_by_ancestral, kept_by_ode

DETERMINISTIC = "DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler or "
DETERMINISTIC += "FlowMatchEulerDiscreteScheduler"
NO_NOISE = "it injects no noise that could be scaled"
RENOISES = "its noise carries the clean sample to the next level, so that scaling it would leave the level"
SDE = "its noise is part of a multistep solver for the SDE"
STOCHASTIC = "it draws noise at every step, and the Gaussian integrator follows the deterministic flow"
TWO_CALLS = "it takes two predictions a step"
SEVERAL = "its step combines several predictions, so that no one factor keeps it from passing the clean sample"
JUMPS = "each of its steps goes to the predicted clean sample itself"


@dataclass(frozen=True)
class Family:
    """Schedulers that keep their levels in one way. A refusal is the reason why a steering cannot be had, or None.

    level, next_level: (scheduler, timestep) -> Level, of the coming step. kept: (level, next) -> share that its step
    leaves of the gap to the predicted clean sample.
    """

    level: Callable[[Any, Any], Level]
    next_level: Callable[[Any, Any], Level]
    kept: Callable[[Level, Level], float] = kept_by_ode
    no_nns: str | None = NO_NOISE
    no_gaussian: str | None = None
    no_cap: str | None = None


def _from_alpha_bar(alpha_bar: Any) -> Level:
    value = float(alpha_bar)
    return Level(math.sqrt(value), math.sqrt(1 - value))


def _table_level(scheduler: Any, timestep: Any) -> Level:
    return _from_alpha_bar(scheduler.alphas_cumprod[int(timestep)])


def _ddim_next(scheduler: Any, timestep: Any) -> Level:
    previous = int(timestep) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    table = scheduler.alphas_cumprod
    return _from_alpha_bar(table[previous] if previous >= 0 else scheduler.final_alpha_cumprod)


def _ddpm_next(scheduler: Any, timestep: Any) -> Level:
    previous = int(scheduler.previous_timestep(timestep))
    return _from_alpha_bar(scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.one)


def _step_index(scheduler: Any, timestep: Any) -> int:
    if scheduler.step_index is None:
        scheduler._init_step_index(timestep)
    return int(scheduler.step_index)


def _exploding(sigma_t: float, scheduler: Any) -> Level:
    return Level(1.0, sigma_t)


def _flow(sigma_t: float, scheduler: Any) -> Level:
    return Level(1 - sigma_t, sigma_t)


def _preserving(sigma: float, scheduler: Any) -> Level:
    if scheduler.config.get("use_flow_sigmas", False):
        return _flow(sigma, scheduler)
    return Level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma))


def _sigma_family(scale: Callable[[float, Any], Level], **refusals: Any) -> Family:
    """Schedulers that keep a table of sigmas and an index into it; scale says what a sigma means."""
    return Family(
        level=lambda s, t: scale(float(s.sigmas[_step_index(s, t)]), s),
        next_level=lambda s, t: scale(float(s.sigmas[_step_index(s, t) + 1]), s),
        **refusals,
    )


FAMILIES: dict[type, Family] = {
    DDIMScheduler: Family(_table_level, _ddim_next),
    DDPMScheduler: Family(_table_level, _ddpm_next, kept_by_ancestral, no_nns=None, no_gaussian=STOCHASTIC),
    LCMScheduler: Family(_table_level, _table_level, no_nns=RENOISES, no_gaussian=STOCHASTIC, no_cap=JUMPS),
    EulerDiscreteScheduler: _sigma_family(_exploding),
    EulerAncestralDiscreteScheduler: _sigma_family(
        _exploding, kept=kept_by_ancestral, no_nns=None, no_gaussian=STOCHASTIC
    ),
    HeunDiscreteScheduler: _sigma_family(_exploding, no_gaussian=TWO_CALLS, no_cap=SEVERAL),
    DPMSolverMultistepScheduler: _sigma_family(_preserving, no_cap=SEVERAL),
    UniPCMultistepScheduler: _sigma_family(_preserving, no_cap=SEVERAL),
    FlowMatchEulerDiscreteScheduler: _sigma_family(_flow),
}


def family_of(scheduler: Any) -> Family:
    """The family of a scheduler or of a class derived from one. Raises TypeError naming the classes that there are."""
    for stock in type(scheduler).__mro__:
        if stock in FAMILIES:
            return FAMILIES[stock]
    expected = ", ".join(stock.__name__ for stock in FAMILIES)
    raise TypeError(f"cannot steer {type(scheduler).__name__}: its steps are not known here; use one of: {expected}")


def refusal(scheduler: Any, steering: Steering) -> str | None:
    """Why this scheduler cannot take this steering, and what to use instead; None where it can.

    Raises TypeError as family_of.
    """
    family, name = family_of(scheduler), type(scheduler).__name__
    config = scheduler.config
    sde = str(config.get("algorithm_type", "")).startswith("sde")
    renoises = bool(config.get("stochastic_sampling", False))
    if steering.method == "nns":
        reason = SDE if sde else RENOISES if renoises else family.no_nns
        cure = "use DDPMScheduler or EulerAncestralDiscreteScheduler, or method psr, which every sampler takes"
        return reason and f"{name} cannot take steering.method 'nns': {reason}; {cure}"
    if steering.integrator != "plain":
        reason = STOCHASTIC if sde or renoises else family.no_gaussian
        cure = f"use {DETERMINISTIC}, or integrator 'plain'"
        return reason and f"{name} cannot take steering.integrator {steering.integrator!r}: {reason}; {cure}"
    if steering.cap:
        reason = JUMPS if renoises else family.no_cap
        cure = "use DDIMScheduler, DDPMScheduler or an Euler scheduler, or leave the cap off"
        return reason and f"{name} cannot take steering.cap: {reason}; {cure}"
    return None

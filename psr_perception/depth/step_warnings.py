"""What so many steps under such a steering do to a depth map: warnings in words, and the number behind them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from diffusers import LCMScheduler

from psr_core.scheduler_levels import family_of
from psr_core.steering import Level, Steering, noise_factor
from psr_perception.depth.settings import DepthSettings

MOST_SIGNAL = 0.3  # alpha from which on a first level is no longer nearly pure noise
NO_EFFECT = 0.01  # a factor this near to 1 everywhere does nothing that can be seen
OVERSHOOT = 0.1  # in standard deviations of the predicted noise: k = 1.3, σ = 10 in 10 trailing steps is just above


def steering_warnings(settings: DepthSettings, steering: Steering, scheduler: Any) -> list[str]:
    """Why this many steps make the result, or the steering, pointless or harmful; each names a value and a cure.

    Empty when all is well. scheduler: DDIM's or LCM's, left as it is. Raises ValueError where it cannot take the steps.
    """
    count = settings.num_inference_steps
    steps, warnings = _steps(scheduler, count, steering), []
    if (first := steps[0]).level.alpha > MOST_SIGNAL:
        warnings.append(
            f"num_inference_steps = {count}: the first timestep is {first.timestep}, whose noise is too little for a "
            "start from pure noise; use 10 or more, or a checkpoint with timestep_spacing trailing"
        )
    if steering.is_identity or steering.integrator != "plain":
        return warnings
    say = f"num_inference_steps = {count} with steering {steering.label()}"
    effect = max(abs(step.factor - 1) for step in steps)
    if effect < NO_EFFECT:
        cure = "use 10 or more steps" if count < 10 else "use a larger σ, or k further from 1"
        return [*warnings, f"{say} does nothing: the noise is rescaled by {1 + effect:.3f} at most; {cure}"]
    shift = overshoot(scheduler, count, steering)
    if isinstance(scheduler, LCMScheduler):
        warnings.append(
            f"{say}: LCMScheduler goes to the predicted depth at every step, so that each is off by up to {shift:.2f} "
            "of the predicted noise and k acts once a step; use a checkpoint with DDIMScheduler, or k = 1"
        )
    elif shift > OVERSHOOT:
        enough = [n for n in (10, 20, 50, 100, 200) if n > count and overshoot(scheduler, n, steering) <= OVERSHOOT]
        more = f"num_inference_steps = {enough[0]} or more" if enough else "k nearer to 1"
        warnings.append(f"{say}: a step is off by {shift:.2f} of the predicted noise; use {more}, or turn the cap on")
    return warnings


def overshoot(scheduler: Any, num_inference_steps: int, steering: Steering) -> float:
    """By how much a rescaled step passes the predicted clean sample at worst, in units of the predicted noise; >= 0.

    A step from q = sigma_t/alpha to q' moves x/alpha by r (q - q') of the noise, and q would do; the last step, whose
    result is taken for clean whatever the scheduler says, moves it by r q. For k < 1 it is what the last step leaves.
    """
    steps = _steps(scheduler, num_inference_steps, steering)
    jumps = isinstance(scheduler, LCMScheduler)
    passed = [step.passed(to_clean=jumps) for step in steps[:-1]] + [step.passed(to_clean=True) for step in steps[-1:]]
    return max(*passed, abs(passed[-1]))


@dataclass(frozen=True)
class _Step:
    timestep: int
    level: Level
    after: Level
    factor: float

    def passed(self, to_clean: bool) -> float:
        after = Level(1.0, 0.0) if to_clean else self.after
        # Written so that pure noise, alpha = 0, needs no infinity: r - 1 vanishes there like alpha².
        beyond = (self.factor - 1) * self.level.sigma_t / self.level.alpha if self.level.alpha else 0.0
        return beyond - self.factor * after.sigma_t / after.alpha


def _steps(scheduler: Any, count: int, steering: Steering) -> list[_Step]:
    check_steps(scheduler, count)
    probe = copy.copy(scheduler)
    probe.set_timesteps(count)
    family, steps = family_of(probe), []
    for timestep in probe.timesteps.tolist():
        level, after = family.level(probe, timestep), family.next_level(probe, timestep)
        steps.append(_Step(timestep, level, after, noise_factor(level, steering, family.kept(level, after))))
    return steps


def check_steps(scheduler: Any, num_inference_steps: int) -> None:
    """Raises ValueError where the scheduler has fewer timesteps than that."""
    config, most = scheduler.config, scheduler.config.num_train_timesteps
    if isinstance(scheduler, LCMScheduler):
        most = config.original_inference_steps
    elif config.timestep_spacing == "leading":
        most -= config.steps_offset
    if num_inference_steps > most:
        raise ValueError(
            f"num_inference_steps is {num_inference_steps}, expected at most {most}, the timesteps there are"
        )

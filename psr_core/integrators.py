"""Steps of the steered probability-flow ODE and of its stochastic cousin, as pure functions between two noise levels.

The Gaussian integrator takes the data near the sample for N(μ, σ²) and follows the steered flow of that Gaussian
exactly, from one prediction a step. docs/steering.md derives it. Shapes and dtypes: x, x̂0, ε and results share one
shape (N, ...) and a floating dtype of at least float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from psr_core.steering import Level, Steering


def ddim_step(clean: Tensor, eps: Tensor, next_level: Level) -> Tensor:
    """The deterministic step to the next level from x̂0 and ε (thesis, equation 1.3)."""
    return next_level.alpha * clean + next_level.sigma_t * eps


def ancestral_mean(x: Tensor, clean: Tensor, level: Level, next_level: Level) -> Tensor:
    """Mean of x_t' given x_t and x̂0: where DDPM and Euler-ancestral steps go before they add their noise.

    Source: Ho et al. 2020, equation 7, written for any scale of x.
    """
    ratio = next_level.sigma_t / level.sigma_t
    share = ratio**2 * level.alpha / next_level.alpha
    return next_level.alpha * clean + share * (x - level.alpha * clean)


def ancestral_std(level: Level, next_level: Level) -> float:
    """Standard deviation of the noise that a DDPM ("fixed_small") or Euler-ancestral step adds."""
    ratio = next_level.sigma_t * level.alpha / (next_level.alpha * level.sigma_t)
    return next_level.sigma_t * math.sqrt(max(0.0, 1 - ratio**2))


def mode_centre(clean: Tensor, eps: Tensor, level: Level, steering: Steering) -> Tensor:
    """Centre of the mode that an unsteered prediction points to, if the mode is N(centre, σ²)."""
    return clean.sub(eps, alpha=level.alpha * steering.sigma**2 / level.sigma_t)


def gaussian_step(x: Tensor, centre: Tensor, level: Level, next_level: Level, steering: Steering) -> Tensor:
    """Exact step of the steered flow for data N(centre, σ²), whose steered form is N(centre, σ²/k)."""
    shrink = steered_std(next_level, steering) / steered_std(level, steering)
    return (shrink * x).add_(centre, alpha=next_level.alpha - level.alpha * shrink)


class Centre(NamedTuple):
    """What the second-order step remembers of the step before."""

    level: Level
    value: Tensor


def extrapolated_centre(previous: Centre, centre: Tensor, level: Level, next_level: Level, s: Steering) -> Tensor:
    """The centre halfway through the coming step, on the line through the last two: makes gaussian_step second order.

    The line runs in λ = log(alpha / ρ), ρ the steered standard deviation: DPM-Solver++(2M) (Lu et al. 2022) with ρ in
    place of sigma_t and the mode's centre in place of x̂0.
    """
    before, now, after = (_log_ratio(at, s) for at in (previous.level, level, next_level))
    if before == -math.inf:  # pure noise knows no centre
        return centre
    weight = (after - now) / (2 * (now - before))
    return centre.lerp(previous.value, -weight)


def steered_std(level: Level, steering: Steering) -> float:
    """ρ_t: standard deviation of the steered mode N(·, σ²/k) once it is noised to a level."""
    return math.sqrt(level.alpha**2 * steering.sigma**2 / steering.k + level.sigma_t**2)


def _log_ratio(level: Level, steering: Steering) -> float:
    return math.log(level.alpha / steered_std(level, steering)) if level.alpha > 0 else -math.inf

"""Samplers as pure functions of (denoiser, noise, levels, Steering, generator), for models that are formulas.

Models that are networks run under diffusers' schedulers instead (psr_core.schedulers); both take the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from psr_core.integrators import (
    Centre,
    ancestral_mean,
    ancestral_std,
    ddim_step,
    extrapolated_centre,
    gaussian_step,
    mode_centre,
)
from psr_core.predictions import clean_and_noise
from psr_core.steering import Level, Steering, kept_by_ancestral, kept_by_ode, noise_factor

Denoiser = Callable[[Tensor, Level], Tensor]  # (x_t, level) -> predicted noise, of x_t's shape
FIRST_ANGLE = math.pi / 2 - 1e-3  # pure noise but for a trace of signal: the noise prediction divides by alpha


def cosine_levels(steps: int) -> list[Level]:
    """steps + 1 levels (cos θ, sin θ) on a uniform grid of angles, from almost pure noise to exactly clean.

    Raises ValueError below one step.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    angles = [FIRST_ANGLE * (1 - i / steps) for i in range(steps + 1)]
    return [Level(math.cos(angle), math.sin(angle)) for angle in angles]


def sample_ode(denoiser: Denoiser, x: Tensor, levels: Sequence[Level], steering: Steering) -> Tensor:
    """Deterministic samples from starting noise x (N, ...) along levels, one call a step, by steering.integrator.

    Raises ValueError for method "nns": there is no injected noise to scale.
    """
    if steering.method == "nns":
        raise ValueError("steering.method nns scales injected noise and the ODE injects none; use sample_ancestral")
    if steering.integrator != "plain":
        return _sample_gaussian(denoiser, x, levels, steering)
    for level, next_level in pairwise(levels):
        eps = denoiser(x, level) * noise_factor(level, steering, kept_by_ode(level, next_level))
        clean, eps = clean_and_noise("epsilon", eps, x, level)
        x = ddim_step(clean, eps, next_level)
    return x


def _sample_gaussian(denoiser: Denoiser, x: Tensor, levels: Sequence[Level], steering: Steering) -> Tensor:
    last: Centre | None = None
    for level, next_level in pairwise(levels):
        centre = mode_centre(*clean_and_noise("epsilon", denoiser(x, level), x, level), level, steering)
        aim = centre
        if steering.integrator == "gaussian2":
            if last is not None:
                aim = extrapolated_centre(last, centre, level, next_level, steering)
            last = Centre(level, centre)
        x = gaussian_step(x, aim, level, next_level, steering)
    return x


def sample_ancestral(
    denoiser: Denoiser, x: Tensor, levels: Sequence[Level], steering: Steering, generator: torch.Generator
) -> Tensor:
    """DDPM samples from starting noise x (N, ...) along levels, one call a step, for every method.

    generator: source of the injected noise, on x's device. Raises ValueError for the Gaussian integrators, which follow
    the ODE.
    """
    if steering.integrator != "plain":
        raise ValueError(f"steering.integrator {steering.integrator} follows the ODE; use sample_ode")
    noise_scale = 1 / steering.k if steering.method == "nns" else 1.0
    for level, next_level in pairwise(levels):
        eps = denoiser(x, level) * noise_factor(level, steering, kept_by_ancestral(level, next_level))
        clean, _ = clean_and_noise("epsilon", eps, x, level)
        noise = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
        x = ancestral_mean(x, clean, level, next_level) + noise_scale * ancestral_std(level, next_level) * noise
    return x

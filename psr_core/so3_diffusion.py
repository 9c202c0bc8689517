"""Diffusion on SO(3): noise levels, noising, and the steered sampler, for any denoiser.

Noise explodes and acts in the body frame: R_t = R_0 exp(σ_t z), z standard normal in the tangent space. A denoiser
predicts z; since exp's Jacobian leaves z alone, -z/σ_t is the score. With alpha = 1 everywhere, PSR's factor is
r_t = (σ²/σ_t² + 1) / (σ²/(k σ_t²) + 1), as psr_core.steering.noise_factor gives it for Level(1, σ_t).

Source: Hsiao et al., "Confronting ambiguity in 6D object pose estimation via score-based diffusion on SE(3)" (2024),
whose schedule and step these are; steered as thesis, section 1.4.1, has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from psr_core import so3
from psr_core.integrators import ancestral_std
from psr_core.steering import Level, Steering, noise_factor

Denoiser = Callable[[Tensor, Level], Tensor]  # (rotations (..., 3, 3), level) -> predicted z (..., 3)
Steps = Sequence[tuple[Level, Level]]  # of each step: the level that the denoiser is told, the level stepped to
Numbers = TypeVar("Numbers", float, Tensor)
SMALLEST, LARGEST, POWER = 1e-4, 1.0, 3  # σ_t from and to, rad; σ_t² is the power of a uniform grid
_LEAST, _MOST = SMALLEST ** (2 / POWER), LARGEST ** (2 / POWER)


def sigma_at(time: Numbers) -> Numbers:
    """σ_t in rad at a time in [0, 1], from 1e-4 (clean) to 1 (noise): a number or a tensor of any shape."""
    sigma_t: Numbers = (_LEAST + time * (_MOST - _LEAST)) ** (POWER / 2)
    return sigma_t


def level_at(time: float) -> Level:
    """The level at a time in [0, 1]. Raises ValueError for another time."""
    if not 0 <= time <= 1:
        raise ValueError(f"time is {time}, expected 0 (clean) to 1 (noise)")
    return Level(1.0, sigma_at(time))


def time_at(level: Level) -> float:
    """The inverse of level_at; beyond [0, 1] for levels beyond its range."""
    return float((level.sigma_t ** (2 / POWER) - _LEAST) / (_MOST - _LEAST))


def power_steps(count: int) -> list[tuple[Level, Level]]:
    """`count` steps on a uniform grid of times, from σ_t = 1 rad to 1e-4. Raises ValueError below one step."""
    if count < 1:
        raise ValueError(f"steps is {count}, expected at least 1")
    return list(pairwise(level_at(1 - i / count) for i in range(count + 1)))


def reference_steps(count: int, timesteps: int = 100) -> list[tuple[Level, Level]]:
    """The steps as liepose-diffusion pairs them: each ends one training timestep cleaner than the next is told.

    For reproduction only: the denoiser is told more noise than there is, so samples contract more than they should,
    and PSR diverges sooner. count: 1 to timesteps. Source: p_sample_score_fn and run_test of its exp/testbed.py.
    """
    if not 1 <= count <= timesteps:
        raise ValueError(f"steps is {count}, expected 1 to the {timesteps} training timesteps")
    told = [timesteps * (count - i) // count - 1 for i in range(count)]
    ends = [after - 1 for after in [*told[1:], 0]]
    clean = Level(1.0, 0.0)
    return [
        (level_at(time / timesteps), level_at(end / timesteps) if end >= 0 else clean)
        for time, end in zip(told, ends, strict=True)
    ]


def perturb(rotations: Tensor, sigma_t: Tensor | float, noise: Tensor) -> Tensor:
    """R_0 exp(σ_t z): rotations (..., 3, 3), sigma_t in rad, a number or (...), noise z (..., 3)."""
    scale = sigma_t[..., None] if isinstance(sigma_t, Tensor) else sigma_t
    return rotations @ so3.exp(scale * noise)


def check_sampling(steering: Steering, eta: float) -> None:
    """Raises ValueError for what sample_so3 cannot do: "nns" with eta 0 (no noise to scale), the Gaussian integrators,
    eta outside [0, 1]."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, expected 0 (deterministic) to 1 (ancestral)")
    if steering.integrator != "plain":
        raise ValueError(f"steering.integrator is {steering.integrator!r}, expected 'plain' on rotations; set cap")
    if steering.method == "nns" and eta == 0:
        raise ValueError("steering.method nns scales injected noise and eta 0 injects none; use eta 1")


def step_gain(step: tuple[Level, Level], steering: Steering, eta: float) -> float:
    """How far a step goes, in units of the way to the predicted clean rotation: 1 ends there, beyond 2 an offset grows.
    The noise that the step injects is not in it."""
    level, next_level = step
    kept = _kept(next_level, eta * ancestral_std(level, next_level))
    return (1 - kept / level.sigma_t) * noise_factor(level, steering, kept / level.sigma_t)


def expected_spread(spread: float, steps: Steps, steering: Steering, eta: float) -> float:
    """Standard deviation per axis, rad, of the samples of one mode of such a spread (rad), at most pi.

    They begin with the first level's. Exact where all are small: then a mode's denoiser is linear in the offset.
    """
    variance = steps[0][0].sigma_t ** 2
    for step in steps:
        level, next_level = step
        pull = step_gain(step, steering, eta) * level.sigma_t**2 / (spread**2 + level.sigma_t**2)
        injected = _noise_scale(steering) * eta * ancestral_std(level, next_level)
        variance = min(math.pi**2, (1 - pull) ** 2 * variance + injected**2)
    return math.sqrt(variance)


def sample_so3(
    denoiser: Denoiser, rotations: Tensor, steps: Steps, steering: Steering, eta: float, generator: so3.Generators
) -> Tensor:
    """Rotations (..., 3, 3) from starting ones along steps, one call a step, all in one batch.

    rotations: uniform (so3.random_rotations), or noised to the first level. eta: share of the noise that an ancestral
    step injects, 0 (deterministic) to 1; it changes no marginal. generator: source of that noise; a list has one for
    each row of the first dimension, so that a row does not depend on what stands beside it. steering: every method,
    plain integrator; with cap no step passes the predicted clean rotation. Raises ValueError as check_sampling.
    Source: liepose-diffusion, p_sample_score_fn, whose two factors about the same axis are one here.
    """
    check_sampling(steering, eta)
    noise_scale = _noise_scale(steering)
    for level, next_level in steps:
        injected = eta * ancestral_std(level, next_level)
        kept = _kept(next_level, injected)
        factor = noise_factor(level, steering, kept / level.sigma_t)
        move = (kept - level.sigma_t) * factor * denoiser(rotations, level)
        rotations = rotations @ so3.exp(move)
        if injected:
            noise = randn_tensor(rotations.shape[:-1], generator, rotations.device, rotations.dtype)
            rotations = rotations @ so3.exp(noise_scale * injected * noise)
    return so3.project(rotations)


def _kept(next_level: Level, injected: float) -> float:
    """The standard deviation at the next level that is kept toward the sample, beside what is injected anew."""
    return float(max(0.0, next_level.sigma_t**2 - injected**2) ** 0.5)


def _noise_scale(steering: Steering) -> float:
    return 1 / steering.k if steering.method == "nns" else 1.0

"""Mixtures of concentrated Gaussians on SO(3): samples, the analytic denoiser, and what steering does to them.

A mode is M exp(s w) with w standard normal in the tangent space and s of a few degrees at most. Noised to σ_t its
tangent variance is s² + σ_t², up to the curvature of SO(3) at the scale of s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from psr_core import so3
from psr_core.so3_diffusion import Denoiser, Steps, power_steps, sample_so3
from psr_core.steering import Level, Steering


@dataclass(frozen=True, eq=False)
class RotationMixture:
    """Modes of one spread. centres (M, 3, 3) float64 rotations; spread: rad, a standard deviation per axis, > 0;
    weights (M,) float64, summing to 1, or None for equal ones. Raises ValueError naming the field."""

    centres: Tensor
    spread: float
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        modes = len(self.centres)
        if self.centres.shape != (modes, 3, 3) or modes == 0:
            raise ValueError(f"centres has shape {tuple(self.centres.shape)}, expected (modes, 3, 3) with one or more")
        if not 0 < self.spread < math.pi:
            raise ValueError(f"spread is {self.spread} rad, expected more than 0 and far less than pi")
        weights = torch.full((modes,), 1 / modes, dtype=torch.float64) if self.weights is None else self.weights
        if weights.shape != (modes,) or not (weights > 0).all() or abs(float(weights.sum()) - 1) > 1e-9:
            raise ValueError(f"weights is {weights.tolist()}, expected {modes} numbers > 0 that sum to 1")
        object.__setattr__(self, "weights", weights)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n samples, (n, 3, 3) float64."""
        assert self.weights is not None
        mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, 3, dtype=torch.float64, generator=generator)
        return self.centres[mode] @ so3.exp(self.spread * noise)

    def denoiser(self) -> Denoiser:
        """The noise prediction E[z | R_t], (N, 3, 3) -> (N, 3), in the dtype of R_t.

        Each mode's part is σ_t log(Mᵀ R_t) / (s² + σ_t²). A mode's density with respect to the uniform one divides the
        Gaussian by exp's volume factor 2 (1 - cos θ)/θ². Noise of more than half a turn is left out: 2 % at σ_t = 1.
        """

        def noise(rotations: Tensor, level: Level) -> Tensor:
            """Of rotations (N, 3, 3) at a level, (N, 3)."""
            variance = self.spread**2 + level.sigma_t**2
            offsets = so3.log(self.centres.to(rotations).mT @ rotations[:, None])  # (N, M, 3)
            angle = torch.linalg.vector_norm(offsets, dim=-1)
            assert self.weights is not None
            log_volume = 2 * torch.sinc(angle / (2 * math.pi)).log()
            log_joint = self.weights.log().to(rotations) - angle**2 / (2 * variance) - log_volume
            pull = (log_joint.softmax(-1)[..., None] * offsets).sum(-2)
            predicted: Tensor = level.sigma_t / variance * pull
            return predicted

        return noise

    def errors(self, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest centre in rad, (N,), and which that is, (N,) int64."""
        nearest = so3.distance(self.centres.to(rotations), rotations[:, None]).min(-1)
        return nearest.values, nearest.indices


@dataclass(frozen=True)
class SteeredErrors:
    """One row of steering_table: errors in degrees to the nearest centre, and how many of the modes have a sample.

    Samples that missed every mode by more than 5 degrees count for none.
    """

    steps: int
    eta: float
    steering: Steering
    mean_error: float
    median_error: float
    modes_covered: int


def steering_table(
    mixture: RotationMixture,
    steps: Iterable[int],
    etas: Iterable[float],
    steerings: Iterable[Steering],
    samples: int,
    *,
    error: float = 0.05,
    seed: int = 0,
) -> list[SteeredErrors]:
    """How near samples of the mixture come to its centres, for every (number of steps, eta, steering).

    error: standard deviation of the denoiser's error, in units of its noise (a network's is never 0). Every row starts
    from the same rotations and has the same errors, a seeded draw; float32.
    """
    settings = product(steps, etas, steerings)
    return [
        steered_errors(mixture, power_steps(count), eta, steering, samples, error=error, seed=seed)
        for count, eta, steering in settings
    ]


def steered_errors(
    mixture: RotationMixture,
    steps: Steps,
    eta: float,
    steering: Steering,
    samples: int,
    *,
    error: float = 0.05,
    seed: int = 0,
) -> SteeredErrors:
    """One row of steering_table, along any steps."""
    generator, mistakes = (torch.Generator().manual_seed(seed + i) for i in range(2))
    ideal = mixture.denoiser()

    def denoiser(rotations: Tensor, level: Level) -> Tensor:
        exact = ideal(rotations, level)
        return exact + error * torch.randn(exact.shape, dtype=exact.dtype, generator=mistakes)

    start = so3.random_rotations((samples,), generator)
    errors, nearest = mixture.errors(sample_so3(denoiser, start, steps, steering, eta, generator))
    degrees = errors.rad2deg()
    covered = len(set(nearest[degrees < 5].tolist()))
    return SteeredErrors(len(steps), eta, steering, float(degrees.mean()), float(degrees.median()), covered)

"""DDIM and DDPM on a guided prior: what distillation is compared with, from the noises that its seeds stand for."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.inversion import ode_step
from psr_core.distillation.method import View
from psr_core.distillation.noise import FIXED, SAMPLER, addressed_normal
from psr_core.integrators import ancestral_mean, ancestral_std
from psr_core.predictions import clean_and_noise


def sample_ddim(prior: GuidedPrior, view: View, steps: int, guidance: float, seed: int = 0) -> Tensor:
    """Samples (B, *shape) from the noises that DSD's seeds follow, one call a step; of view.x shape and dtype count."""
    x = addressed_normal(view.x, seed, view.seeds, FIXED)
    for t, next_t in pairwise(prior.levels.grid(steps)):
        x = ode_step(prior, x, t, next_t, view.prompt, guidance)
    return x


def sample_ddpm(prior: GuidedPrior, view: View, steps: int, guidance: float, seed: int = 0) -> Tensor:
    """The same with fresh noise in every step, addressed by seed and step. Source: Ho et al. 2020, "fixed_small"."""
    x = addressed_normal(view.x, seed, view.seeds, FIXED)
    for step, (t, next_t) in enumerate(pairwise(prior.levels.grid(steps))):
        level, next_level = prior.levels.level(t), prior.levels.level(next_t)
        clean, _ = clean_and_noise("epsilon", prior.noise(x, t, view.prompt, guidance), x, level)
        noise = addressed_normal(view.x, seed, view.seeds, SAMPLER, step)
        x = ancestral_mean(x, clean, level, next_level) + ancestral_std(level, next_level) * noise
    return x

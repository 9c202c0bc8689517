"""DDIM run backwards, from a clean sample to the noise that DDIM would have made it from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.levels import Levels
from psr_core.integrators import ddim_step
from psr_core.predictions import clean_and_noise

CLEANEST = 1  # time 0 has no prediction: the least noisy level that the model knows stands for it


def inversion_times(levels: Levels, t: int, end: int, steps: int) -> list[int]:
    """Rising times: 0, those below t of the leading grid of `steps` in T, and end >= t, as threestudio has them."""
    spacing = levels.last // steps
    return [0, *(time for time in (j * spacing + 2 for j in range(steps)) if time < t), end]


def invert(prior: GuidedPrior, x: Tensor, times: Sequence[int], prompt: Prompt, guidance: float) -> Tensor:
    """x_t at the last of rising times that the clean x (B, *shape) at the first, 0, is taken to; one call a step."""
    for time, next_time in pairwise(times):
        x = ode_step(prior, x, time, next_time, prompt, guidance)
    return x


def ode_step(prior: GuidedPrior, x: Tensor, t: float, next_t: float, prompt: Prompt, guidance: float) -> Tensor:
    """One DDIM step between two times, in either direction."""
    eps = prior.noise(x, max(t, CLEANEST), prompt, guidance)
    clean, eps = clean_and_noise("epsilon", eps, x, prior.levels.level(t))
    return ddim_step(clean, eps, prior.levels.level(next_t))

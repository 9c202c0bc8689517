"""Samples of p(z) times a Gaussian kernel about y, from a denoiser of p; their mean is a step of mean shift.

Let x be the product noised to a ratio s, in the scale of the data. Two Gaussian factors about a clean sample, the noise
and the kernel, make one: the product's denoiser at x is p's at the mean of x and y weighted by 1/s² and 1/l², at the
ratio s l / sqrt(s² + l²). With s = l tan θ and x = y + sqrt(s² + l²) w, the product's flow dx/ds = (x - x̂0) / s becomes

    dw/dθ = eps_p(y + l w cos θ at ratio l sin θ),    from w ~ N(0, I) at θ = π/2 (s = ∞) to z = y + l w at θ = 0:

nothing stiff, no largest noise to choose, and p is never asked about more noise than l.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.levels import level_of


def denoised(prior: GuidedPrior, x: Tensor, ratio: float, prompt: Prompt, guidance: float) -> Tensor:
    """x̂0 of x (B, *shape) in the variance-exploding coordinate."""
    eps = prior.noise(level_of(ratio).alpha * x, prior.levels.time(ratio), prompt, guidance)
    return x - ratio * eps


def product_sample(
    prior: GuidedPrior, y: Tensor, bandwidth: float, noise: Tensor, prompt: Prompt, guidance: float, steps: int
) -> Tensor:
    """Samples (B, *shape) of p(z) N(z; y, bandwidth²) from standard normal noise of y's shape; 2 steps calls each.

    Exact but for the `steps` of the midpoint method, for a true denoiser, which a guided one is not.
    """
    width = math.pi / 2 / steps
    w = noise
    for j in range(steps):
        angle = math.pi / 2 - j * width
        half = w - width / 2 * _product_slope(prior, y, bandwidth, w, angle, prompt, guidance)
        w = w - width * _product_slope(prior, y, bandwidth, half, angle - width / 2, prompt, guidance)
    return y + bandwidth * w


def _product_slope(
    prior: GuidedPrior, y: Tensor, bandwidth: float, w: Tensor, angle: float, prompt: Prompt, guidance: float
) -> Tensor:
    ratio = bandwidth * math.sin(angle)
    x = level_of(ratio).alpha * (y + bandwidth * math.cos(angle) * w)
    return prior.noise(x, prior.levels.time(ratio), prompt, guidance)


def paper_product_sample(
    prior: GuidedPrior,
    y: Tensor,
    bandwidth: float,
    noise: Tensor,
    prompt: Prompt,
    guidance: float,
    steps: int,
    interval: tuple[float, float],
    y_noise: Tensor | None,
) -> Tensor:
    """The sampler of the paper: DDIM's step, then the pull exp(dt / bandwidth²) towards y, dt the change of the ratio.

    interval: ratios between which the kernel pulls. y_noise: where given, y is noised by it to the level at hand.
    One call a step. Biased (psr_core's tests measure by how much). Source: MSD, equations 14 and 15, section 4.3.
    """
    levels = prior.levels
    ratios = [levels.ratio(t) for t in levels.grid(steps)]
    x = ratios[0] * noise
    for ratio, next_ratio in pairwise(ratios):
        clean = denoised(prior, x, ratio, prompt, guidance)
        x = clean + next_ratio / ratio * (x - clean)
        if interval[0] <= next_ratio <= interval[1]:
            aim = y if y_noise is None else y + next_ratio * y_noise
            x = aim + (x - aim) * math.exp((next_ratio - ratio) / bandwidth**2)
    return x

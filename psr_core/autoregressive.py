"""Temperature scaling of an autoregressive model, the baseline that shows why p(x)^τ p(y|x)^τ is not p(x, y)^τ.

The model is exact: marginal and conditional of a two-dimensional Gaussian mixture, both again Gaussian mixtures.
Source: thesis, section 1.3.1, "Temperature Scaling in Autoregressive Model (AR)".
"""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor

from psr_core.mixtures import GaussianMixture

REACH = 8.0  # standard deviations (of the scaled densities) that the grid reaches beyond the outermost means
POINTS_PER_STD = 12.0  # grid points per narrowest standard deviation
_CHUNK = 2**16  # numbers in a table of densities at a time: what fits into a core's cache


def sample_temperature_scaled(mixture: GaussianMixture, tau: float, n: int, generator: torch.Generator) -> Tensor:
    """n samples (n, 2) float64 of x ~ p(x)^τ and then y ~ p(y|x)^τ, each normalised.

    τ > 1 sharpens: N(μ, v)^τ is N(μ, v/τ). Inverse CDF on a grid of POINTS_PER_STD points per narrowest standard
    deviation, linear between them; y from a float32 table. Raises ValueError unless the mixture is two-dimensional and
    τ finite and > 0.
    """
    if mixture.dim != 2:
        raise ValueError(f"mixture has {mixture.dim} dimensions, expected 2: x, then y given x")
    if not (math.isfinite(tau) and tau > 0):
        raise ValueError(f"tau is {tau}, expected a finite number > 0")
    uniform = torch.rand(2, n, dtype=torch.float64, generator=generator)
    means, covariances = mixture.means, mixture.covariances
    variance_x, slope = covariances[:, 0, 0], covariances[:, 1, 0] / covariances[:, 0, 0]
    variance_y = covariances[:, 1, 1] - slope * covariances[:, 0, 1]  # of y given x, per mode

    log_weights = mixture.weights.log()
    grid = _grid(means[:, 0], variance_x, tau)
    x = _inverse_cdf(tau * _log_density(grid, log_weights[None], means[None, :, 0], variance_x), grid, uniform[:1])[0]

    log_weights_given_x = log_weights + _log_normal(x[:, None], means[:, 0], variance_x)
    means_given_x = means[:, 1] + slope * (x[:, None] - means[:, 0])
    log_weights_given_x -= log_weights_given_x.amax(1, keepdim=True)
    grid = _grid(means_given_x, variance_y, tau)
    y = torch.empty_like(x)
    for part in torch.arange(n).split(max(1, _CHUNK // len(grid))):  # type: ignore[no-untyped-call]
        mixtures = (log_weights_given_x[part].float(), means_given_x[part].float(), variance_y.float())
        y[part] = _inverse_cdf(tau * _log_density(grid.float(), *mixtures), grid.float(), uniform[1, part, None])[
            :, 0
        ].double()
    return torch.stack([x, y], dim=1)


def _grid(means: Tensor, variances: Tensor, tau: float) -> Tensor:
    """Points over everything that densities with these means have, raised to τ."""
    narrowest, widest = (float(v.sqrt()) / math.sqrt(tau) for v in (variances.min(), variances.max()))
    low, high = float(means.min()) - REACH * widest, float(means.max()) + REACH * widest
    return torch.linspace(low, high, math.ceil((high - low) / narrowest * POINTS_PER_STD) + 1, dtype=torch.float64)


def _log_density(grid: Tensor, log_weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """Mixtures (B, M) of one dimension on a grid (G,): log density up to a constant per mixture, (B, G)."""
    terms = (
        log_weights[:, i, None] + _log_normal(grid, means[:, i, None], variance) for i, variance in enumerate(variances)
    )
    return reduce(torch.logaddexp, terms)


def _log_normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -((x - mean).square() / variance + variance.log()) / 2


def _inverse_cdf(log_density: Tensor, grid: Tensor, uniform: Tensor) -> Tensor:
    """Quantiles (B, U) at `uniform` (B, U) of densities (B, G), their CDF taken as linear between the grid's points."""
    density = (log_density - log_density.amax(1, keepdim=True)).exp()
    mass = (density[:, 1:] + density[:, :-1]).cumsum(1)
    target = uniform.to(mass.dtype) * mass[:, -1:]
    right = torch.searchsorted(mass, target).clamp_max(mass.shape[1] - 1)
    above = mass.gather(1, right)
    below = torch.where(right > 0, mass.gather(1, (right - 1).clamp_min(0)), 0.0)
    share = (target - below) / (above - below).clamp_min(torch.finfo(mass.dtype).tiny)
    return grid[right] + share * (grid[1] - grid[0])

"""DDIM and DDPM on a guided prior: the flow that is known, and the distribution that is known."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.distill import Points
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.levels import scaled_linear_levels
from psr_core.distillation.noise import FIXED, addressed_normal
from psr_core.distillation.prior import GaussianMixturePrior
from psr_core.distillation.sampling import sample_ddim, sample_ddpm
from psr_core.mixtures import GaussianMixture
from psr_core.samplers import sample_ode
from psr_core.steering import Steering

LEVELS = scaled_linear_levels()
MEAN, SPREAD = torch.tensor([0.5, -0.4], dtype=torch.float64), 0.3


@pytest.fixture(scope="module")
def mixture():
    covariance = SPREAD**2 * torch.eye(2, dtype=torch.float64)[None]
    return GaussianMixture(torch.ones(1, dtype=torch.float64), MEAN[None], covariance)


def view_of(rows, first=0):
    x = torch.zeros(rows, 2, dtype=torch.float64)
    return Points(x, seeds=first + torch.arange(rows)).view(0).detached()


def test_ddim_is_the_flow_from_the_noise_of_its_seed(mixture):
    prior, view = GuidedPrior(GaussianMixturePrior(mixture, LEVELS)), view_of(5)
    levels = [LEVELS.level(t) for t in LEVELS.grid(20)]
    start = addressed_normal(view.x, 3, view.seeds, FIXED)
    expected = sample_ode(mixture.denoiser(), start, levels, Steering())
    torch.testing.assert_close(sample_ddim(prior, view, 20, 1.0, seed=3), expected)
    assert prior.guided == 5 * 20


@pytest.mark.parametrize("sample", [sample_ddim, sample_ddpm])
def test_samples_have_mean_and_spread_of_the_density(mixture, sample):
    x = sample(GuidedPrior(GaussianMixturePrior(mixture, LEVELS)), view_of(1000), 300, 1.0)
    torch.testing.assert_close(x.mean(0), MEAN, atol=0.03, rtol=0)
    torch.testing.assert_close(x.std(0), torch.full((2,), SPREAD, dtype=torch.float64), atol=0.035, rtol=0)


@pytest.mark.parametrize("sample", [sample_ddim, sample_ddpm])
def test_a_row_follows_from_its_seed_alone(mixture, sample):
    prior = GuidedPrior(GaussianMixturePrior(mixture, LEVELS))
    together, alone = sample(prior, view_of(4), 10, 1.0), sample(prior, view_of(1, first=2), 10, 1.0)
    torch.testing.assert_close(together[2:3], alone)
    assert not torch.allclose(together[0], together[1])
    assert not torch.allclose(together, sample(prior, view_of(4), 10, 1.0, seed=1))

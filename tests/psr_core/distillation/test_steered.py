"""A steered prior is the prior of steered data, where that is known."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.prior import GaussianMixturePrior
from psr_core.distillation.steered import SteeredPrior
from psr_core.mixtures import GaussianMixture
from psr_core.steering import Steering
from tests.psr_core.distillation.toys import LEVELS, isotropic, noise_like

MEAN = [[0.7, -0.4]]
FAR = [[6.0, 0.0], [-6.0, 0.0], [0.0, 6.0]]


def steered(mixture, k, sigma):
    return SteeredPrior(GaussianMixturePrior(mixture, LEVELS), Steering(k=k, sigma=sigma))


def narrowed(mixture, k):
    """The mixture with every mode's variance divided by k."""
    return GaussianMixturePrior(GaussianMixture(mixture.weights, mixture.means, mixture.covariances / k), LEVELS)


@pytest.mark.parametrize("t", [1, 30, 300, 1000])
@pytest.mark.parametrize("k", [0.25, 1.0, 10.0])
def test_of_a_gaussian_it_is_that_of_variance_over_k_at_every_level(k, t):
    x, one = noise_like(20), isotropic(MEAN, 0.3)
    assert torch.allclose(steered(one, k, 0.3).noise(x, t, {}), narrowed(one, k).noise(x, t, {}), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [0.25, 10.0])
def test_of_modes_far_apart_it_is_that_of_each(k):
    mixture, level = isotropic(FAR, 0.3, [0.4, 0.5, 0.1]), LEVELS.level(200)
    x = level.alpha * mixture.means.repeat(10, 1) + 0.3 * noise_like(30)
    said, plain = steered(mixture, k, 0.3).noise(x, 200, {}), narrowed(mixture, 1).noise(x, 200, {})
    assert torch.allclose(said, narrowed(mixture, k).noise(x, 200, {}), atol=1e-9)
    assert (said - plain).abs().max() > 0.01


def test_all_else_is_the_priors():
    labels = torch.tensor([0, 1, 1])
    prior = GaussianMixturePrior(isotropic(FAR, 0.3), LEVELS, labels)
    wrapped, x = SteeredPrior(prior, Steering(k=3.0)), noise_like(4)
    assert (wrapped.levels, wrapped.shape, wrapped.conditions) == (prior.levels, prior.shape, prior.conditions)
    assert torch.equal(wrapped.unconditional(x)["label"], prior.unconditional(x)["label"])
    assert torch.equal(wrapped.encode(x), x) and torch.equal(wrapped.decode(x), x)

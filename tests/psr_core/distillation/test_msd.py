"""MSD: product samples against the true product, Tweedie's mean, the paper's sampler beside it; schedule and stop."""

from __future__ import annotations

import math

import pytest
import torch

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.methods import make_method
from psr_core.distillation.product import denoised, paper_product_sample, product_sample
from psr_core.mixtures import GaussianMixture
from tests.psr_core.distillation.toys import distilled, guided, isotropic, noise_like, view_of

MIXTURE = isotropic([[0.8, 0.3], [-0.7, 0.6], [0.1, -0.9]], 0.25, [0.5, 0.3, 0.2])
Y = torch.tensor([0.35, -0.25], dtype=torch.float64)
SAMPLES = 200_000
BANDWIDTHS = (1.0, 0.5, 0.2)


def true_product(bandwidth):
    """The mixture times N(Y, bandwidth²), a mixture again; its mean and covariance."""
    kernel = torch.eye(2, dtype=torch.float64) / bandwidth**2
    precisions = torch.linalg.inv(MIXTURE.covariances)
    covariances = torch.linalg.inv(precisions + kernel)
    means = (covariances @ (precisions @ MIXTURE.means[..., None] + (kernel @ Y)[:, None])).squeeze(-1)
    widened = MIXTURE.covariances + torch.eye(2, dtype=torch.float64) * bandwidth**2
    evidence = torch.distributions.MultivariateNormal(MIXTURE.means, widened).log_prob(Y)
    weights = (MIXTURE.weights.log() + evidence).softmax(0)
    product = GaussianMixture(weights, means, (covariances + covariances.mT) / 2)
    mean = weights @ means
    offsets = means - mean
    spread = (weights[:, None, None] * (product.covariances + offsets[:, :, None] * offsets[:, None])).sum(0)
    return mean, spread


def exact(bandwidth, samples=SAMPLES, steps=10):
    noise = noise_like(samples, seed=3)
    return product_sample(guided(MIXTURE), Y.expand_as(noise), bandwidth, noise, Prompt(), 1.0, steps)


def paper(bandwidth, interval=(0.0, math.inf), y_noise=None, samples=20_000):
    noise = noise_like(samples, seed=3)
    y = Y.expand_as(noise)
    return paper_product_sample(guided(MIXTURE), y, bandwidth, noise, Prompt(), 1.0, 50, interval, y_noise)


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
def test_exact_samples_have_tweedies_mean_and_the_products_spread(bandwidth):
    x = exact(bandwidth)
    mean, spread = true_product(bandwidth)
    tweedie = denoised(guided(MIXTURE), Y[None], bandwidth, Prompt(), 1.0)[0]
    assert (tweedie - mean).abs().max() < 1e-12
    assert ((x.mean(0) - tweedie).abs() / (spread.diag() / SAMPLES).sqrt()).max() < 4
    assert (torch.cov(x.mT) - spread).abs().max() < 0.02 * spread.diag().max()


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
def test_the_papers_sampler_is_biased_and_pins_the_sample(bandwidth):
    """Full interval: no spread at all. Limited to ratios below the bandwidth, or towards a noised y: biased still."""
    mean, spread = true_product(bandwidth)
    true_std = spread.diag().sqrt().mean()
    full, limited = paper(bandwidth), paper(bandwidth, (0.0, bandwidth))
    noised = paper(bandwidth, y_noise=noise_like(20_000, seed=4))
    for x in (full, limited, noised):
        assert (x.mean(0) - mean).norm() > 0.05 > 10 * true_std / len(x) ** 0.5
        assert x.std(0).mean() < 0.9 * true_std
    assert full.std(0).max() < 1e-5


def test_midpoint_steps_are_second_order():
    reference = exact(0.5, samples=500, steps=160)
    errors = [(exact(0.5, samples=500, steps=steps) - reference).square().mean().sqrt() for steps in (10, 20, 40)]
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2]


def test_shift_is_the_blurred_densitys_gradient():
    """m = l² grad log p_l, by autograd of the mixture blurred by l."""
    x = noise_like(16).requires_grad_()
    blurred = GaussianMixture(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances + 0.25 * torch.eye(2).double())
    (slope,) = torch.autograd.grad(blurred.log_density(x).sum(), x)
    method = make_method("msd", guided(MIXTURE), 10, bandwidth=0.5, last_bandwidth=0.5, sampler="tweedie")
    assert torch.allclose(-method.gradient(view_of(x), 0), 0.25 * slope, atol=1e-12)


def test_the_samples_mean_comes_nearer_with_more_samples():
    view = view_of(Y.expand(500, 2))
    mean, _ = true_product(0.5)
    errors = []
    for samples in (1, 4, 16):
        prior = guided(MIXTURE)
        method = make_method("msd", prior, 10, bandwidth=0.5, samples=samples, sampler_steps=5)
        errors.append(float((method.mean(view, 0) - mean).square().sum(1).mean()))
        assert prior.guided == 500 * samples * 2 * 5
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3) and errors[1] / errors[2] == pytest.approx(4, rel=0.3)


def test_bandwidth_falls_linearly_to_its_last_value():
    method = make_method("msd", guided(MIXTURE), 5, bandwidth=1.0, last_bandwidth=0.2)
    assert [method.width(step) for step in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_stops_where_the_shift_is_below_the_threshold():
    seen = []
    method = make_method("msd", guided(MIXTURE), 500, last_bandwidth=0.1, sampler="tweedie", threshold=1e-3)
    gradient = method.gradient
    method.gradient = lambda view, step: seen.append(gradient(view, step)) or seen[-1]
    distilled(method, noise_like(8))
    assert method.finished and len(seen) < 500
    assert [bool((one.norm(dim=1) < 1e-3).all()) for one in seen] == [False] * (len(seen) - 1) + [True]


def test_the_papers_sampler_runs_with_inversions_noise():
    method = make_method("msd", guided(MIXTURE), 10, sampler="paper", noised_target=True, bandwidth=0.5)
    assert method.gradient(view_of(noise_like(4)), 0).isfinite().all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sampler": "euler"}, "msd.sampler"),
        ({"samples": 0}, "msd.samples"),
        ({"bandwidth": 100.0}, "msd.bandwidth"),
        ({"bandwidth": 0.1, "last_bandwidth": 0.2}, "msd.last_bandwidth"),
        ({"threshold": -1.0}, "msd.threshold"),
    ],
)
def test_refuses_what_it_cannot_do(options, named):
    with pytest.raises(ValueError, match=named):
        make_method("msd", guided(MIXTURE), 10, **options)

"""SDI: how well each choice of kappa solves its equation, the inversion's round trip, the signs of guidance."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.inversion import inversion_times, invert
from psr_core.distillation.learned import PriorSettings, train_prior
from psr_core.distillation.methods import make_method
from psr_core.samplers import sample_ode
from psr_core.steering import Steering
from tests.psr_core.distillation.toys import LEVELS, guided, isotropic, labelled, ring, view_of

RING = ring()
SAMPLES = RING.sample(2000, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def learned():
    data = RING.sample(20_000, torch.Generator().manual_seed(1))
    return train_prior(data, LEVELS, settings=PriorSettings(steps=1200, batch_size=256, width=64))


def miss(prior, t, kappa, x=SAMPLES[:500], **options):
    """How far kappa is from a solution of kappa = eps(x noised to t by kappa), in x's units."""
    method = make_method("sdi", prior, 100, kappa=kappa, **options)
    view = view_of(x)
    found = method.regressed(view, t, t, 0)
    off = method.predict(method.noised(x, found, t), t, view) - found
    return float(LEVELS.ratio(t) * off.square().sum(1).mean().sqrt())


def test_choices_of_kappa_miss_in_the_published_order_with_a_learned_prior(learned):
    """Thesis, figure 6.3: inversion is nearest, SGD little better than noise, fixed-point iteration diverges."""
    for t in (800, 900):
        error = {kappa: miss(GuidedPrior(learned), t, kappa) for kappa in ("inversion", "sgd", "random", "fixed")}
        assert error["inversion"] < 0.95 * error["sgd"] and error["sgd"] <= error["random"]
        assert error["fixed"] == pytest.approx(error["random"], rel=0.1)
        assert miss(GuidedPrior(learned), t, "fixed_point") > 1.2 * error["random"]


def test_at_little_noise_every_search_helps_in_two_dimensions(learned):
    """What the high dimension of images forbids: there the fixed point is found where one mode is near."""
    error = {kappa: miss(GuidedPrior(learned), 200, kappa) for kappa in ("inversion", "sgd", "fixed_point", "random")}
    assert max(error["inversion"], error["sgd"], error["fixed_point"]) < 0.5 * error["random"]


def test_fine_inversion_and_generation_are_a_round_trip():
    prior = guided(RING)
    losses = []
    for steps in (50, 100, 200):
        times = [0, *reversed(LEVELS.grid(steps)[:-1])]
        noisy = invert(prior, SAMPLES, times, Prompt(), 1.0)
        levels = [LEVELS.level(t) for t in LEVELS.grid(steps)]
        back = sample_ode(prior.prior.mixture().denoiser(), noisy, levels, Steering())
        losses.append(float((back - SAMPLES).norm(dim=1).median()))
    assert losses[0] > 1.5 * losses[1] > 2 * losses[2] and losses[2] < 0.05


def test_inversion_of_a_gaussian_reaches_its_noise():
    """N(mu, S²): the flow takes x to alpha mu + (x - mu) sqrt(alpha² S² + sigma_t²) / S."""
    prior = guided(isotropic([[0.5, -1.0]], 0.3))
    x = 0.3 * torch.randn(50, 2, dtype=torch.float64) + torch.tensor([0.5, -1.0], dtype=torch.float64)
    level = LEVELS.level(1000)
    spread = (level.alpha**2 * 0.09 + level.sigma_t**2) ** 0.5 / 0.3
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    noisy = invert(prior, x, list(range(1001)), Prompt(), 1.0)
    assert (noisy - (level.alpha * mean + (x - mean) * spread)).abs().max() < 0.02


def test_inversion_times_are_those_of_the_leading_grid():
    assert inversion_times(LEVELS, 350, 420, 10) == [0, 2, 102, 202, 302, 420]
    assert inversion_times(LEVELS, 102, 102, 10) == [0, 2, 102]


@pytest.mark.parametrize("scale", [3.0, 7.5])
def test_negative_guidance_inverts_better_than_the_same(scale):
    """Thesis, figure 6.5: inverting at g misses most. There 1 and -g are on a par; here -g is far the nearest."""
    prior = guided(RING, [0, 0, 0, 1, 1, 1])
    x = SAMPLES[:500]
    prompt = labelled(0, 500)
    error = {}
    for inversion in (scale, 1.0, -scale):
        method = make_method("sdi", prior, 100, guidance=scale, inversion_guidance=inversion)
        view = view_of(x, prompt)
        kappa = method.regressed(view, 500, 500, 0)
        off = method.predict(method.noised(x, kappa, 500), 500, view) - kappa
        error[inversion] = float(off.square().sum(1).mean().sqrt())
    assert error[scale] > error[1.0] > 2 * error[-scale]


def test_entropy_is_added_to_the_inverted_noise():
    prior = guided(RING)
    view = view_of(SAMPLES)
    plain, stirred = (
        make_method("sdi", prior, 10, entropy=entropy).regressed(view, 600, 600, 3) for entropy in (0.0, 0.3)
    )
    assert float((stirred - plain).std()) == pytest.approx(0.3, rel=0.05)

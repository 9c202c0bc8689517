"""Guidance in its one convention, steering, perpendicular prompts, counts; the levels and the toy priors behind it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.distillation.guidance import GuidedPrior, Prompt, perpendicular, view_weights
from psr_core.distillation.levels import Levels, level_of
from psr_core.distillation.prior import GaussianMixturePrior, SampleSetPrior
from psr_core.steering import Steering, noise_factor
from tests.psr_core.distillation.toys import LEVELS, guided, isotropic, labelled, noise_like, ring

LABELS = [0, 0, 0, 1, 1, 1]


def parts(x, t):
    prior = GaussianMixturePrior(ring(), LEVELS, torch.tensor(LABELS))
    return [prior.mixture(label).denoiser()(x, LEVELS.level(t)) for label in (-1, 0, 1)]


@pytest.mark.parametrize(("scale", "cost"), [(1.0, 1), (0.0, 1), (7.5, 2), (-7.5, 2)])
def test_one_convention_and_its_cost(scale, cost):
    x, prior = noise_like(5), guided(ring(), LABELS)
    empty, positive, _ = parts(x, 300)
    assert torch.allclose(prior.noise(x, 300, labelled(0, 5), scale), empty + scale * (positive - empty), atol=1e-12)
    assert (prior.guided, prior.model) == (5, 5 * cost)


def test_perpendicular_prompts_add_only_what_the_positive_one_does_not_say():
    x, prior = noise_like(5), guided(ring(), LABELS)
    empty, positive, other = parts(x, 300)
    weights = torch.full((1, 5), -1.5)
    prompt = Prompt({"label": torch.zeros(5).long()}, None, ({"label": torch.ones(5).long()},), weights)
    added = prior.noise(x, 300, prompt, 2.0) - (empty + 2 * (positive - empty))
    assert torch.allclose(added, 2 * -1.5 * perpendicular(other - empty, positive - empty), atol=1e-12)
    assert (added * (positive - empty)).sum(1).abs().max() < 1e-10
    assert prior.model == 15


def test_perpendicular_to_nothing_is_all():
    x = noise_like(3)
    assert torch.equal(perpendicular(x, torch.zeros_like(x)), x)


def test_steering_multiplies_the_guided_noise():
    x, steering = noise_like(5), Steering(k=4.0, sigma=0.2)
    plain = guided(ring(), LABELS).noise(x, 300, labelled(0, 5), 3.0)
    steered = guided(ring(), LABELS, steering).noise(x, 300, labelled(0, 5), 3.0)
    assert torch.allclose(steered, plain * noise_factor(LEVELS.level(300), steering))


@pytest.mark.parametrize(
    "steering", [Steering(k=2, method="nns"), Steering(k=2, integrator="gaussian"), Steering(k=2, cap=True)]
)
def test_refuses_steering_that_is_no_factor(steering):
    with pytest.raises(ValueError, match="distillation takes no sampler's steps"):
        guided(ring(), steering=steering)


@pytest.mark.parametrize(
    ("azimuth", "front", "side"), [(0, 0.0, 1.574), (90 - 1e-9, 1.574, 0.0), (90, 1.574, 0.0), (180, 1.967, 0.394)]
)
def test_view_weights_at_the_published_points(azimuth, front, side):
    weights = view_weights(azimuth)
    assert sum(weights.positive) == pytest.approx(1)
    assert weights.negative[:2] == pytest.approx((-front, -side), abs=1e-3)


@given(st.floats(-720, 720))
def test_view_weights_are_symmetric_and_never_attract(azimuth):
    weights = view_weights(azimuth)
    assert max(weights.negative) <= 0 <= min(weights.positive)
    assert weights.negative == pytest.approx(view_weights(-azimuth).negative, abs=1e-6)


@given(st.floats(0, 1000))
def test_levels_and_times_are_inverses(t):
    assert LEVELS.time(LEVELS.ratio(t)) == pytest.approx(t, abs=1e-6)
    level = LEVELS.level(t)
    assert level.alpha**2 + level.sigma_t**2 == pytest.approx(1) and level == level_of(LEVELS.ratio(t))


def test_levels_are_stable_diffusions():
    assert LEVELS.level(1).alpha ** 2 == pytest.approx(1 - 0.00085)
    assert LEVELS.level(1000).alpha ** 2 == pytest.approx(0.00466, rel=2e-3)
    assert LEVELS.grid(10) == list(range(1000, -1, -100))


@pytest.mark.parametrize("alphas", [(), (0.5, 0.6), (1.0, 0.5), (0.5, 0.0), (0.5, float("nan"))])
def test_refuses_levels_that_do_not_fall(alphas):
    with pytest.raises(ValueError, match="alphas_cumprod"):
        Levels(alphas)


@pytest.mark.parametrize("t", [0, -1, 1001, float("nan")])
def test_refuses_times_outside_the_levels(t):
    with pytest.raises(ValueError, match="time is"):
        guided(ring()).noise(noise_like(2), t, Prompt())


def test_a_sample_set_is_a_mixture_of_points():
    samples = noise_like(20, seed=5)
    points = GaussianMixturePrior(isotropic(samples, 1e-6), LEVELS)
    x = noise_like(6)
    for t in (200, 600, 1000):
        assert torch.allclose(SampleSetPrior(samples, LEVELS).noise(x, t, {}), points.noise(x, t, {}), atol=1e-8)


def test_labels_choose_samples_row_by_row():
    samples, labels = noise_like(20, seed=5), torch.arange(20) % 2
    prior, x = SampleSetPrior(samples, LEVELS, labels), noise_like(3)
    mixed = prior.noise(x, 400, {"label": torch.tensor([0, 1, -1])})
    for row, kept in enumerate((labels == 0, labels == 1, labels >= 0)):
        alone = SampleSetPrior(samples[kept], LEVELS).noise(x, 400, {})[row]
        assert torch.allclose(mixed[row], alone, atol=1e-12)


def test_refuses_unknown_labels():
    prior = GuidedPrior(SampleSetPrior(noise_like(4), LEVELS, torch.zeros(4).long()))
    with pytest.raises(ValueError, match="label is 3"):
        prior.noise(noise_like(2), 400, labelled(3, 2))
    with pytest.raises(ValueError, match="label is 3"):
        guided(ring(), LABELS).noise(noise_like(2), 400, labelled(3, 2))
    with pytest.raises(ValueError, match="labels are"):
        guided(ring(), [0, 1])

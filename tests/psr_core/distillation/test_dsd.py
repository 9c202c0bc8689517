"""DSD: DDIM itself at equal step counts, nearly so at others; what the papers print is not."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.dsd import DSD
from psr_core.distillation.methods import make_method
from psr_core.samplers import sample_ode
from psr_core.steering import Steering
from tests.psr_core.distillation.toys import (
    LEVELS,
    distilled,
    guided,
    isotropic,
    labelled,
    ring,
    run_dsd,
    view_of,
)

SEEDS = 256
MIXTURE = isotropic(
    [[1.2, 0.4], [-0.9, 1.1], [0.1, -1.4], [-1.3, -0.8], [1.5, -1.2], [0.2, 1.9]],
    0.2,
    [0.25, 0.2, 0.15, 0.15, 0.15, 0.1],
)


def ddim(prior, method, steps, rows=SEEDS, steering=None):
    """DDIM's samples from the method's own starting noise, by the library's sampler."""
    noise = method.cache.start(view_of(torch.empty(rows, 2, dtype=torch.float64)))
    levels = [LEVELS.level(t) for t in LEVELS.grid(steps)]
    return sample_ode(prior.prior.mixture().denoiser(), noise, levels, steering or Steering())


def rms(x, y):
    return (x - y).square().sum(1).mean().sqrt()


class Equation9(DSD):
    """As the paper prints it: the noise at t is scaled for the noisier s, so x is at no level."""

    def gradient(self, view, step):
        t, s = self.pair(step)
        if t == 0:
            return torch.zeros_like(view.x)
        eps = self.shared_noise(view, s, step)
        there = self.predict(self.noised(view.x, eps, s), s, view)
        wrong = self.level(t).alpha * view.x + self.level(s).sigma_t * eps
        return self.weight(t) * (self.predict(wrong, t, view) - there)


class Equation13(DSD):
    """As the appendix prints it: the gradient weighs alphas_cumprod, not the noise ratio."""

    def weight(self, t):
        return self.level(t).alpha ** 2


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("reading", ["held", "interpolated", "exact", "recomputed"])
def test_equals_ddim_when_steps_are_its_steps(steps, reading):
    prior = guided(MIXTURE)
    rows = 32 if reading == "recomputed" else SEEDS
    x, method = run_dsd(prior, rows, steps, steps, reading=reading)
    assert (x - ddim(prior, method, steps, rows)).abs().max() < 1e-12


def test_equals_ddim_on_a_grid_that_does_not_divide_the_levels():
    prior = guided(MIXTURE)
    x, method = run_dsd(prior, SEEDS, 30, 30)
    assert (x - ddim(prior, method, 30)).abs().max() < 1e-12


def test_equals_steered_ddim_of_a_steered_prior():
    steering = Steering(k=3.0, sigma=0.2)
    prior = guided(MIXTURE, steering=steering)
    x, method = run_dsd(prior, SEEDS, 20, 20)
    assert (x - ddim(prior, method, 20, steering=steering)).abs().max() < 1e-12
    assert rms(x, ddim(prior, method, 20)) > 0.01


def test_equals_guided_ddim_of_a_guided_prior():
    prior = guided(ring(), [0, 0, 0, 1, 1, 1])
    method = make_method("dsd", prior, 20, grid=20, guidance=2.0)
    view = view_of(torch.empty(SEEDS, 2, dtype=torch.float64), labelled(1, SEEDS))
    x = distilled(method, method.initial(view), view.prompt)
    levels = [LEVELS.level(t) for t in LEVELS.grid(20)]
    one, all_ = (prior.prior.mixture(label).denoiser() for label in (1, -1))
    guide = lambda z, level: all_(z, level) + 2 * (one(z, level) - all_(z, level))  # noqa: E731
    assert (x - sample_ode(guide, method.cache.start(view), levels, Steering())).abs().max() < 1e-12


@pytest.mark.parametrize("printed", [Equation9, Equation13])
def test_what_the_papers_print_is_not_ddim(printed):
    prior = guided(MIXTURE)
    for steps in (10, 20, 50):
        x, method = run_dsd(prior, SEEDS, steps, steps, printed(prior=prior, steps=steps, grid=steps))
        assert rms(x, ddim(prior, method, steps)) > 0.3


def test_started_elsewhere_it_is_not_ddim():
    prior = guided(MIXTURE)
    method = make_method("dsd", prior, 20, grid=20)
    x = distilled(method, torch.zeros(SEEDS, 2, dtype=torch.float64))
    assert (x - ddim(prior, method, 20)).abs().max() > 0.3


@pytest.mark.parametrize("reading", ["held", "interpolated", "exact"])
def test_a_thousand_steps_on_ten_ddim_steps_end_in_ddims_mode(reading):
    prior = guided(MIXTURE)
    x, method = run_dsd(prior, SEEDS, 1000, 10, reading=reading)
    modes, truth = (MIXTURE.responsibilities(one).argmax(1) for one in (x, ddim(prior, method, 10)))
    assert (modes == truth).double().mean() >= 0.9
    assert len(modes.unique()) == 6


def test_ablations_lose_the_seed():
    """With fresh noise, or the seed's own instead of its trajectory's, runs do not end where DDIM does."""
    prior = guided(MIXTURE)
    x, method = run_dsd(prior, SEEDS, 20, 20)
    for noise in ("random", "linear"):
        other, _ = run_dsd(prior, SEEDS, 20, 20, noise=noise)
        assert rms(other, ddim(prior, method, 20)) > 0.1 > rms(x, ddim(prior, method, 20))


def test_seeds_do_not_depend_on_the_batch():
    prior = guided(MIXTURE)
    method = make_method("dsd", prior, 20, grid=20)
    seeds = torch.tensor([11, 3])
    view = view_of(torch.empty(2, 2, dtype=torch.float64), seeds=seeds)
    alone = distilled(method, method.initial(view), seeds=seeds)
    together, _ = run_dsd(prior, 16, 20, 20)
    assert (alone - together[seeds]).abs().max() < 1e-12


def test_published_times_stay_within_the_levels():
    from psr_core.distillation.published import PUBLISHED

    options = {**PUBLISHED["dsd"], "guidance": 1.0}
    method = make_method("dsd", guided(MIXTURE), 1000, **options)
    pairs = [method.pair(step) for step in range(1000)]
    assert all(320 <= t <= s <= 1000 for t, s in pairs)
    assert pairs[0][0] == 980 and any(s > t for t, s in pairs)

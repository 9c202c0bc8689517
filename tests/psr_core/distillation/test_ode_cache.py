"""The cache of trajectories: each computed once, in batches, within its bounds, the same after a resume."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.ode_cache import READINGS, ODECache
from psr_core.distillation.prior import GaussianMixturePrior
from tests.psr_core.distillation.toys import LEVELS, guided, labelled, ring, view_of

NODES = LEVELS.grid(10)[:-1]
FALLING = [1000, 950, 900, 730, 400, 250, 120]


def cache_of(prior, reading="held", capacity=256):
    return ODECache(prior, NODES, seed=0, guidance=1.0, reading=reading, capacity=capacity)


def view_at(*seeds):
    return view_of(torch.empty(len(seeds), 2, dtype=torch.float64), seeds=torch.tensor(seeds))


def test_a_trajectory_is_computed_once_whoever_asks():
    prior = guided(ring())
    cache = cache_of(prior)
    for t in FALLING * 1 + [120, 110, 101]:
        cache.noise(view_at(0, 1), t)
    assert prior.model == 2 * 9  # nodes 1000 to 200, for two seeds


def test_rows_of_one_seed_and_bin_share_a_trajectory():
    prior = guided(ring())
    eps = cache_of(prior).noise(view_at(5, 5, 5), 600)
    assert prior.model == 5 and torch.equal(eps[0], eps[2])


def test_bins_have_the_seeds_noise_but_their_own_trajectories():
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    cache = cache_of(GuidedPrior(GaussianMixturePrior(ring(), LEVELS, labels)))
    prompt = labelled(0, 2)
    prompt.positive["label"][1] = 1
    x = torch.empty(2, 2, dtype=torch.float64)
    view = view_of(x, prompt, seeds=torch.tensor([4, 4]), bins=torch.tensor([0, 1]))
    assert torch.equal(*cache.start(view))
    assert (cache.noise(view, 300)[0] - cache.noise(view, 300)[1]).norm() > 0.1


@pytest.mark.parametrize("reading", READINGS)
def test_readings_agree_at_the_nodes_and_differ_between(reading):
    exact, other = cache_of(guided(ring()), "exact"), cache_of(guided(ring()), reading)
    for t in (1000, 700, 200):
        assert torch.allclose(exact.noise(view_at(1, 2), t), other.noise(view_at(1, 2), t), atol=1e-12)
    difference = (exact.noise(view_at(1, 2), 150) - other.noise(view_at(1, 2), 150)).abs().max()
    assert (difference < 1e-12) == (reading in ("exact", "recomputed"))


def test_interpolation_is_nearer_than_holding():
    view = view_at(*range(64))
    exact, held, line = (cache_of(guided(ring()), one) for one in ("exact", "held", "interpolated"))
    for t in (850, 650, 450):
        truth = exact.noise(view, t)
        assert (line.noise(view, t) - truth).norm() < 0.5 * (held.noise(view, t) - truth).norm()


@pytest.mark.parametrize("reading", READINGS)
def test_bounded_memory_and_rising_times_cost_calls_not_correctness(reading):
    free, tight = cache_of(guided(ring()), reading), cache_of(guided(ring()), reading, capacity=1)
    for t in (900, 450, 800, 150, 350):
        for seed in (0, 1):
            assert torch.equal(free.noise(view_at(seed), t), tight.noise(view_at(seed), t))
            assert len(tight.state_dict()["tracks"]) <= 1


def test_only_a_few_nodes_are_kept():
    cache = cache_of(guided(ring()))
    for t in FALLING:
        cache.noise(view_at(0, 1), t)
        assert all(len(track) <= 3 for _, track in cache.state_dict()["tracks"])


@pytest.mark.parametrize("reading", READINGS)
def test_resumes_bit_for_bit_without_computing_again(reading, tmp_path):
    one = cache_of(guided(ring()), reading)
    for t in FALLING[:4]:
        one.noise(view_at(3, 8), t)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    prior = guided(ring())
    two = cache_of(prior, reading)
    two.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    before = one.prior.model
    for t in FALLING[4:]:
        assert torch.equal(one.noise(view_at(3, 8), t), two.noise(view_at(3, 8), t))
    assert prior.model == one.prior.model - before


def test_a_checkpoint_holds_the_starting_noise_itself():
    one, two = cache_of(guided(ring())), cache_of(guided(ring()))
    one.start(view_at(7))
    state = one.state_dict()
    state["starts"][7] = state["starts"][7] + 1.0
    two.load_state_dict(state)
    assert torch.allclose(two.start(view_at(7)), one.start(view_at(7)) + 1.0)

"""Rows of the distillation toys: as many calls for each, where they start, where they end on a Gaussian."""

from __future__ import annotations

import pytest
import torch

from psr_cli import reproduce_distillation_toy
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.prior import GaussianMixturePrior
from psr_core.mixtures import GaussianMixture
from psr_core.steering import Steering
from psr_eval.distillation_priors import PRIORS
from psr_eval.distillation_rows import (
    CENTRED,
    HALF_BOX,
    LANDSCAPES,
    LEVELS,
    METHODS,
    ROWS,
    STEERED,
    Row,
    distil,
    iterations,
    sample_ddim,
    starts,
)
from psr_eval.planar_densities import DENSITIES

DISTILLED = [row for row in ROWS + CENTRED if row.is_distillation]
SPREAD = 0.3


@pytest.fixture
def prior():
    covariance = SPREAD**2 * torch.eye(2, dtype=torch.float64)[None]
    mean = torch.tensor([[0.5, -0.4]], dtype=torch.float64)
    mixture = GaussianMixture(torch.ones(1, dtype=torch.float64), mean, covariance)
    return GuidedPrior(GaussianMixturePrior(mixture, LEVELS))


def named(name):
    return next(row for row in ROWS if row.name == name)


@pytest.mark.parametrize("row", DISTILLED, ids=lambda row: row.name)
def test_a_run_asks_for_all_its_calls_but_what_another_iteration_would_exceed(row, prior):
    calls = 90
    steps = iterations(row, calls)
    distil(row, prior, 4, steps, 0)
    counted = prior.guided / 4
    assert counted <= calls and counted > calls - 1.3 * calls / steps - 2


def test_ddim_takes_one_step_a_call_or_those_it_is_told(prior):
    for name, expected in (("DDIM", 60), ("DDIM, 10 steps", 10)):
        steps = iterations(named(name), 60)
        sample_ddim(prior, 3, steps, 0)
        assert steps == expected
    assert prior.guided == 3 * 70 and iterations(named("DDIM"), 5000) == LEVELS.last


def test_too_few_calls_are_refused():
    with pytest.raises(ValueError, match="12 calls are too few for MSD; one iteration costs 20"):
        iterations(named("MSD"), 12)


@pytest.mark.parametrize("calls", [1, 3, 8])
def test_few_calls_do_for_cheap_methods(calls):
    assert iterations(named("SDS"), calls) == calls and iterations(named("DSD"), calls) >= 1


def test_starts_are_all_over_the_square_or_at_the_centre(prior):
    method = named("SDS").made(prior, 10)
    x = starts(named("SDS"), method, 256, 3)
    assert x.abs().max() <= HALF_BOX and (x.mean(0).abs() < 0.1).all()
    assert x.std(0).min() > 0.95 * HALF_BOX / 3**0.5
    assert torch.equal(x, starts(named("SDS"), method, 256, 3)) and not torch.equal(
        x, starts(named("SDS"), method, 256, 4)
    )
    assert not starts(CENTRED[0], method, 5, 0).any()


def test_dsd_ends_where_ddim_does_and_sds_at_the_mean(prior):
    ddim = sample_ddim(prior, 64, 100, 0)
    dsd = distil(named("DSD, grid 50"), prior, 64, 100, 0)
    sds = distil(named("SDS"), prior, 64, 400, 0)
    mean = torch.tensor([0.5, -0.4])
    assert (dsd - ddim).norm(dim=1).median() < 0.25 * SPREAD
    assert (ddim - mean).square().mean().sqrt() == pytest.approx(SPREAD, rel=0.25)
    assert (sds - mean).norm(dim=1).median() < 0.5 * SPREAD


def test_the_same_seed_repeats_every_row_and_another_differs(prior):
    for name in ("VSD", "MSD", "DSD", "SDI"):
        row = named(name)
        one, again, other = (distil(row, prior, 6, 3, seed) for seed in (0, 0, 1))
        assert torch.equal(one, again) and not torch.equal(one, other)


def test_names_and_settings_are_their_own():
    rows = ROWS + CENTRED + STEERED
    assert len({row.name for row in rows}) == len(rows) == len({str(row.settings()) for row in rows})
    assert all(row.steering != Steering() for row in STEERED) and {row for row, _, _ in LANDSCAPES} <= set(ROWS)


def test_the_command_offers_what_there_is():
    command = reproduce_distillation_toy
    assert (tuple(DENSITIES), PRIORS, METHODS) == (command.DATA, command.PRIORS, command.METHODS)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (dict(method="gan"), "method is 'gan'"),
        (dict(method="sds", start="corner"), "start is 'corner', expected one of: grid, centre, own"),
        (dict(method="sds", options=(("grid", 10),)), "sds has no option grid"),
    ],
)
def test_wrong_rows_are_refused(fields, named):
    with pytest.raises(ValueError, match=named):
        Row("wrong", **fields)

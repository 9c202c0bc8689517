"""Efficiency of gradients and the losses they integrate to, against what is known of Gaussians and parabolas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.prior import GaussianMixturePrior
from psr_core.mixtures import GaussianMixture
from psr_eval.distillation_rows import LEVELS, Row
from psr_eval.gradient_fields import CELLS, followed, gradients, integrated, lattice, log_efficiency, minima
from psr_eval.point_metrics import truth_of

CENTRE = torch.tensor([[0.4, -0.6]], dtype=torch.float64)


@pytest.fixture
def mixture():
    return GaussianMixture(torch.ones(1, dtype=torch.float64), CENTRE, 0.09 * torch.eye(2, dtype=torch.float64)[None])


@pytest.fixture
def prior(mixture):
    return GuidedPrior(GaussianMixturePrior(mixture, LEVELS))


class TestEfficiency:
    @pytest.mark.parametrize(("size", "noise", "cost"), [(1.0, 0.5, 1.0), (0.3, 1.0, 20.0)])
    def test_of_a_known_mean_and_variance(self, size, noise, cost):
        draws = torch.randn(4000, 30, 2, generator=torch.Generator().manual_seed(0)) * noise
        draws[..., 0] += size
        found = log_efficiency(draws, cost)
        assert found.mean == pytest.approx(math.log(size**2 / (2 * noise**2 * cost)), abs=0.1)
        assert found.low <= found.mean <= found.high

    def test_without_chance_there_is_none(self):
        assert log_efficiency(torch.ones(8, 5, 2), 1.0) is None

    def test_noise_alone_is_no_mean(self):
        draws = torch.randn(8, 2000, 2, generator=torch.Generator().manual_seed(1))
        found = log_efficiency(draws, 1.0)
        assert -25 < found.low <= found.mean < -4

    def test_msd_by_one_call_has_no_chance_and_by_samples_has(self, prior):
        x = lattice()[::200].float()
        for sampler, chance in (("tweedie", False), ("exact", True)):
            drawn = gradients(Row("MSD", "msd", (("sampler", sampler),)), prior, x, 10, 0.5, range(6))
            assert (log_efficiency(drawn, 1.0) is not None) == chance


class TestFields:
    def test_of_msd_is_the_shift_to_the_mean_of_the_product(self, prior):
        """Of N(mu, S²) and a kernel of bandwidth l: (x - mu) l² / (l² + S²)."""
        options = (("bandwidth", 0.5), ("last_bandwidth", 0.5), ("sampler", "tweedie"))
        found = gradients(Row("MSD", "msd", options), prior, lattice(), 4, 0.5, range(1))[0]
        expected = (lattice() - CENTRE) * 0.25 / (0.25 + 0.09)
        assert (found - expected).abs().max() < 1e-3

    def test_seeds_of_sds_differ_and_repeat(self, prior):
        row, x = Row("SDS", "sds"), lattice()[:50]
        one, again, other = (gradients(row, prior, x, 10, 0.5, seeds) for seeds in (range(2), range(2), range(2, 4)))
        assert torch.equal(one, again) and not torch.equal(one[0], one[1]) and not torch.equal(one, other)

    def test_followed_is_one_trajectory_of_dsd(self, prior):
        """The noise is the same everywhere, so for a Gaussian the gradient is linear in the place."""
        field = followed(Row("DSD", "dsd"), prior, lattice().double(), 40, 0.5, 0).view(CELLS, CELLS, 2)
        assert (field[:, 2:] - 2 * field[:, 1:-1] + field[:, :-2]).abs().max() < 1e-4


class TestLandscape:
    def test_a_gradient_is_integrated_to_its_loss(self):
        x = lattice().view(CELLS, CELLS, 2).double().numpy() - CENTRE.numpy()
        loss = x[..., 0] ** 2 + 0.5 * x[..., 0] * x[..., 1] + 2 * x[..., 1] ** 2
        field = np.stack([2 * x[..., 0] + 0.5 * x[..., 1], 0.5 * x[..., 0] + 4 * x[..., 1]], -1)
        assert np.abs(integrated(field) - (loss - loss.min())).max() < 1e-5

    def test_what_has_no_loss_leaves_none(self):
        x = lattice().view(CELLS, CELLS, 2).double().numpy()
        wheel = np.stack([-x[..., 1], x[..., 0]], -1) * np.exp(-4 * (x**2).sum(-1))[..., None]
        assert np.ptp(integrated(wheel)) < 1e-3

    @pytest.mark.parametrize(
        ("places", "inside"), [([(0.4, -0.6)], 1), ([(-1.5, 1.5)], 0), ([(0.4, -0.6), (-2, 2)], 1)]
    )
    def test_minima_are_counted_and_placed(self, mixture, places, inside):
        x = lattice().view(CELLS, CELLS, 2).double().numpy()
        loss = -sum(np.exp(-2 * ((x - np.array(place)) ** 2).sum(-1)) for place in places)
        found = minima(loss, truth_of(mixture, 20, torch.Generator().manual_seed(0)))
        assert (found.count, found.inside) == (len(places), inside)

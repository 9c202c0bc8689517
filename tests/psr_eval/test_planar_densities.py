"""The densities of the plane: standardised, with the symmetries they are built with."""

from __future__ import annotations

import math

import pytest
import torch

from psr_eval.planar_densities import DENSITIES, fractal, pinwheel, spiral


@pytest.mark.parametrize("name", DENSITIES)
def test_mean_is_0_and_variance_1(name):
    mixture = DENSITIES[name]()
    mean = mixture.weights @ mixture.means
    second = mixture.weights @ (mixture.means.square() + mixture.covariances.diagonal(dim1=1, dim2=2))
    assert mean.abs().max() < 1e-9 and float(second.mean()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("mixture", "turn"), [(spiral(), math.pi), (pinwheel(), 2 * math.pi / 5)])
def test_arms_are_alike(mixture, turn):
    cos, sin = math.cos(turn), math.sin(turn)
    x = mixture.sample(500, torch.Generator().manual_seed(0))
    turned = x @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    assert (mixture.log_density(x) - mixture.log_density(turned)).abs().max() < 1e-6


def test_a_fractal_is_thin_and_most_of_it_is_trunk():
    mixture = fractal(depth=4, pieces=3)
    assert len(mixture.weights) == 2 * (2**4 - 1) * 3
    width = torch.linalg.eigvalsh(mixture.covariances).sqrt()
    assert (width[:, 1] / width[:, 0] > 3).all()
    assert float(mixture.weights.view(-1, 3).sum(1).max()) == pytest.approx(float(mixture.weights[:3].sum()), rel=0.3)

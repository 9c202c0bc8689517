"""Mixtures, priors and runs that the tests of distillation share."""

from __future__ import annotations

import math

import torch

from psr_core.distillation.distill import Distillation, Points
from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.levels import scaled_linear_levels
from psr_core.distillation.methods import make_method
from psr_core.distillation.prior import GaussianMixturePrior
from psr_core.mixtures import GaussianMixture

LEVELS = scaled_linear_levels()


def isotropic(means, std, weights=None):
    means = torch.as_tensor(means, dtype=torch.float64)
    weights = torch.full((len(means),), 1 / len(means)) if weights is None else torch.as_tensor(weights)
    covariances = std**2 * torch.eye(means.shape[1], dtype=torch.float64).expand(len(means), -1, -1)
    return GaussianMixture(weights.double(), means, covariances.clone())


def ring(modes=6, radius=1.5, std=0.15):
    angles = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return isotropic(radius * torch.stack([angles.cos(), angles.sin()], 1), std)


def guided(mixture, labels=None, steering=None):
    labels = None if labels is None else torch.tensor(labels)
    return GuidedPrior(GaussianMixturePrior(mixture, LEVELS, labels), steering)


def labelled(label, rows, negative=None):
    conditions = [None if one is None else {"label": torch.full((rows,), one)} for one in (label, negative)]
    return Prompt(conditions[0], conditions[1])


def noise_like(rows, seed=0, dim=2):
    return torch.randn(rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def view_of(x, prompt=None, seeds=None, **view):
    return Points(x, prompt, seeds, **view).view(0).detached()


def distilled(method, x, prompt=None, lr=0.02, steps=None, **view):
    """Where a run of a method takes x: by plain descent at its own rate if it has one, else by Adam."""
    scene = Points(x, prompt, **view)
    if hasattr(method, "learning_rate"):
        optimizer = torch.optim.SGD([scene.theta], lr=method.learning_rate())
    else:
        optimizer = torch.optim.Adam([scene.theta], lr=lr, betas=(0.9, 0.99))
    Distillation(method, scene, optimizer).run(steps)
    return scene.theta.detach()


def run_dsd(prior, rows, steps, grid, method=None, **options):
    method = method or make_method("dsd", prior, steps, grid=grid, **options)
    start = method.initial(view_of(torch.empty(rows, 2, dtype=torch.float64)))
    return distilled(method, start), method

"""Densities of the plane that are hard for mode seeking and yet known: a fractal, a spiral and a pinwheel.

All are Gaussian mixtures, so that density, samples and the noise prediction at every level are exact. Each is moved and
scaled to mean 0 and mean variance 1 per axis. Source of the choice: MSD, section 4.2; the constructions are those of
Karras et al. 2024 (a branching tree) and of the usual toys, the numbers are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from psr_core.mixtures import GaussianMixture

Array = NDArray[np.float64]


def fractal(depth: int = 5, pieces: int = 6) -> GaussianMixture:
    """Two trees that grow from the origin in opposite directions; each of 2**depth - 1 branches is `pieces` Gaussians
    along it, ten times as long as wide or more. Most of the mass is in the trunks."""
    rng = np.random.default_rng(7)
    places: list[tuple[Array, float, float, int]] = []  # where a branch begins, its angle, its length, its depth

    def grow(base: Array, angle: float, level: int) -> None:
        length = 0.78**level * (1 + 0.12 * rng.standard_normal())
        places.append((base, angle, length, level))
        if level + 1 < depth:
            tip = base + length * np.array([math.cos(angle), math.sin(angle)])
            for side in (-1, 1):
                grow(tip, angle + side * 0.62 * 0.92**level * (1 + 0.15 * rng.standard_normal()), level + 1)

    for angle in (0.25 * math.pi, 1.25 * math.pi):
        grow(np.zeros(2), angle, 0)
    weights, means, covariances = [], [], []
    for base, angle, length, level in places:
        direction = np.array([math.cos(angle), math.sin(angle)])
        for share in (np.arange(pieces) + 0.5) / pieces:
            weights.append(length * 0.6**level)
            means.append(base + share * length * direction)
            covariances.append(_oriented(angle, 0.6 * length / pieces, 0.03 * 0.8**level))
    return standardised(np.array(weights), np.array(means), np.array(covariances))


def spiral(turns: float = 1.25, pieces: int = 60) -> GaussianMixture:
    """Two arms, evenly filled along their length, about a sixteenth as wide as they are apart."""
    turn = np.linspace(0.2, turns, 2000) * 2 * math.pi
    path = turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    angle = np.interp((np.arange(pieces) + 0.5) / pieces * run[-1], run, turn)
    means = angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    along = angle + np.arctan(angle)  # the direction of (r cos, r sin) for r = angle
    covariances = np.stack([_oriented(one, 0.6 * run[-1] / pieces, 0.2) for one in along])
    both = np.concatenate([means, -means]), np.concatenate([covariances, covariances])
    return standardised(np.ones(2 * pieces), *both)


def pinwheel(arms: int = 5, pieces: int = 13) -> GaussianMixture:
    """Five bent arms: a radius N(1, .3²) and a width N(0, .1²), turned by an angle that grows with the radius.

    Linear about `pieces` radii, which is what makes it a mixture.
    """
    z = np.linspace(-2.4, 2.4, pieces)
    part = 0.3 * (z[1] - z[0]) * 0.7  # radial spread of a piece
    radius = 1 + math.sqrt(0.3**2 - part**2) * z
    weights, means, covariances = [], [], []
    for arm in range(arms):
        for r, share in zip(radius, np.exp(-(z**2) / 2), strict=True):
            angle = 2 * math.pi * arm / arms + 0.25 * math.exp(r)
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            slope = turn @ np.array([[1, 0], [0.25 * math.exp(r) * r, 1]])  # of the point, in radius and width
            weights.append(share)
            means.append(turn @ np.array([r, 0.0]))
            covariances.append(slope @ np.diag([part**2, 0.1**2]) @ slope.T)
    return standardised(np.array(weights), np.array(means), np.array(covariances))


DENSITIES: dict[str, Callable[[], GaussianMixture]] = {"fractal": fractal, "spiral": spiral, "pinwheel": pinwheel}


def standardised(weights: Array, means: Array, covariances: Array) -> GaussianMixture:
    """The mixture of weights (M,) of any sum, means (M, 2), covariances (M, 2, 2), moved to mean 0 and scaled to mean
    variance 1 per axis. Raises ValueError as GaussianMixture does."""
    weights = weights / weights.sum()
    means = means - weights @ means
    variance = (weights @ (means**2 + covariances.diagonal(axis1=1, axis2=2))).mean()
    covariances = (covariances + covariances.transpose(0, 2, 1)) / (2 * variance)
    return GaussianMixture(*(torch.from_numpy(each) for each in (weights, means / math.sqrt(variance), covariances)))


def _oriented(angle: float, along: float, across: float) -> Array:
    """Covariance (2, 2) of standard deviations along an angle in radians and across it."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag([along**2, across**2]) @ turn.T

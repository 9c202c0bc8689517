"""Rotations in torch agree with scipy and with themselves, at the ends of the range and in both precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from psr_core import so3
from psr_core.seeds import noise_generator

TOLERANCE = {torch.float32: 2e-6, torch.float64: 4e-15}
both = pytest.mark.parametrize("dtype", list(TOLERANCE))
# Angles over the whole range and ever nearer to its ends.
SMALL = torch.logspace(-12, -0.2, 40, dtype=torch.float64)
ANGLES = torch.cat([SMALL, math.pi - SMALL, torch.tensor([0.0, math.pi], dtype=torch.float64)])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rotations(n, seed=0, dtype=torch.float64):
    return so3.random_rotations((n,), seeded(seed), dtype)


def vectors(seed=0):
    """One for each of ANGLES, about random axes."""
    axes = torch.randn(len(ANGLES), 3, dtype=torch.float64, generator=seeded(seed))
    return ANGLES[:, None] * axes / axes.norm(dim=-1, keepdim=True)


class TestExp:
    @both
    def test_agrees_with_scipy(self, dtype):
        found = so3.exp(vectors().to(dtype))
        assert found.dtype == dtype
        expected = Rotation.from_rotvec(vectors().numpy()).as_matrix()
        np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype])

    def test_goes_round_beyond_a_turn(self):
        long = 7 * torch.randn(100, 3, dtype=torch.float64, generator=seeded())
        np.testing.assert_allclose(so3.exp(long), Rotation.from_rotvec(long.numpy()).as_matrix(), atol=1e-13)

    def test_has_a_gradient_everywhere(self):
        vector = torch.cat([torch.zeros(1, 3, dtype=torch.float64), vectors()[:40:8]]).requires_grad_()
        for row in range(9):  # the derivative at 0 is skew()
            (gradient,) = torch.autograd.grad(so3.exp(vector)[0].flatten()[row], vector)
            expected = torch.stack([so3.skew(unit).flatten()[row] for unit in torch.eye(3, dtype=torch.float64)])
            torch.testing.assert_close(gradient[0], expected)
        assert torch.autograd.gradcheck(so3.exp, (vector[3:],))


class TestLog:
    @both
    def test_agrees_with_scipy_up_to_sign_at_half_a_turn(self, dtype):
        matrix = Rotation.from_rotvec(vectors().numpy()).as_matrix()
        found = so3.log(torch.tensor(matrix, dtype=dtype)).double()
        expected = vectors()
        flipped = expected * (1 - 2 * math.pi / ANGLES.clamp(min=1e-30))[:, None]  # the other way round
        error = torch.minimum((found - expected).norm(dim=-1), (found - flipped).norm(dim=-1))
        assert error.max() < 3 * TOLERANCE[dtype]
        assert found.norm(dim=-1).max() <= math.pi + TOLERANCE[dtype]

    def test_of_tiny_rotations_keeps_every_digit(self):
        tiny = vectors()[:10].float()  # 1e-12 to 1e-9 rad
        torch.testing.assert_close(so3.log(so3.exp(tiny)), tiny, rtol=1e-5, atol=0)

    @given(st.integers(0, 10_000))
    def test_undoes_exp(self, seed):
        matrix = rotations(20, seed).reshape(4, 5, 3, 3)
        torch.testing.assert_close(so3.exp(so3.log(matrix)), matrix, rtol=0, atol=1e-14)


class TestDistance:
    @both
    def test_is_the_length_of_the_tangent_vector(self, dtype):
        base = rotations(len(ANGLES), 1, dtype)
        found = so3.distance(base, base @ so3.exp(vectors().to(dtype)))
        torch.testing.assert_close(found.double(), ANGLES, rtol=0, atol=4 * TOLERANCE[dtype])

    @given(st.integers(0, 1000))
    def test_is_a_metric_that_turning_both_leaves_alone(self, seed):
        a, b, c, turn = rotations(4, seed)
        assert so3.distance(a, b) <= so3.distance(a, c) + so3.distance(c, b) + 1e-12
        for one, other in ((b, a), (turn @ a, turn @ b), (a @ turn, b @ turn)):
            torch.testing.assert_close(so3.distance(one, other), so3.distance(a, b))

    def test_broadcasts(self):
        assert so3.distance(rotations(4)[:, None], rotations(5)[None]).shape == (4, 5)


class TestRandom:
    def test_is_uniform(self):
        """Angles are distributed as (θ - sin θ)/π, axes and images of a vector uniformly: each coordinate is."""
        drawn = rotations(20_000)
        assert kstest(so3.angle(drawn), lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.01
        log = so3.log(drawn)
        for coordinate in ((log / log.norm(dim=-1, keepdim=True))[:, 0], drawn[:, 0, 0], drawn[:, 1, 2]):
            assert kstest(coordinate, "uniform", (-1, 2)).pvalue > 0.01

    @both
    def test_are_rotations(self, dtype):
        drawn = rotations(1000, 2, dtype)
        identity = torch.eye(3, dtype=dtype).expand(1000, 3, 3)
        torch.testing.assert_close(drawn @ drawn.mT, identity, rtol=0, atol=TOLERANCE[dtype])
        torch.testing.assert_close(torch.linalg.det(drawn), torch.ones(1000, dtype=dtype))

    def test_a_row_with_its_own_generator_does_not_depend_on_the_others(self):
        together = so3.random_rotations((3, 7), [noise_generator(0, image, 0) for image in (4, 5, 6)])
        alone = so3.random_rotations((1, 7), [noise_generator(0, 5, 0)])
        assert torch.equal(together[1:2], alone)


class TestProject:
    @given(st.integers(0, 1000))
    def test_is_a_rotation_and_the_nearest(self, seed):
        matrix = torch.randn(50, 3, 3, dtype=torch.float64, generator=seeded(seed))
        found = so3.project(matrix)
        torch.testing.assert_close(found.mT @ found, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
        torch.testing.assert_close(torch.linalg.det(found), torch.ones(50, dtype=torch.float64))
        gap = (found - matrix).flatten(1).norm(dim=-1)
        for size in (1e-3, 1.0):  # no rotation beside it, and none elsewhere, is nearer
            other = found @ so3.exp(size * torch.randn(50, 3, dtype=torch.float64, generator=seeded(seed + 1)))
            assert ((other - matrix).flatten(1).norm(dim=-1) >= gap - 1e-12).all()

    def test_leaves_rotations_alone(self):
        torch.testing.assert_close(so3.project(rotations(50)), rotations(50))


class TestQuaternions:
    @both
    def test_agree_with_scipy(self, dtype):
        matrix = Rotation.from_rotvec(vectors().numpy()).as_matrix()
        found = so3.matrix_to_quat(torch.tensor(matrix, dtype=dtype))
        expected = Rotation.from_rotvec(vectors().numpy()).as_quat(canonical=True)
        assert (found[:, 3] >= 0).all()
        aligned = np.sign((found.numpy() * expected).sum(-1, keepdims=True)) * found.numpy()
        np.testing.assert_allclose(aligned, expected, atol=TOLERANCE[dtype])
        np.testing.assert_allclose(so3.quat_to_matrix(3 * found), matrix, atol=TOLERANCE[dtype])

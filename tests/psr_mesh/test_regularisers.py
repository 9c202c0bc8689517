"""Regularisers: 0 where they should be, their values where those are known, and which way they push."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from psr_mesh.cameras import turntable
from psr_mesh.regularisers import convexity, opaqueness, orientation, sparsity, z_variance
from psr_mesh.rendering import Samples, render
from psr_mesh.volume import Volume
from tests.psr_mesh.balls import Ball

FORWARD = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)  # of three rays


def samples(ray, t, weights, normals=None):
    given = None if normals is None else torch.tensor(normals)
    return Samples(torch.tensor(ray), torch.tensor(t), torch.tensor(weights, requires_grad=True), given)


class TestOrientation:
    def test_is_0_where_all_faces_the_camera(self):
        seen = samples([0, 2], [1.0, 2.0], [0.5, 1.0], [[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])
        assert orientation(seen, FORWARD) == 0

    def test_is_the_squared_cosine_of_what_faces_away_over_the_rays_that_see_any(self):
        seen = samples([0, 0, 2], [1.0, 2.0, 1.0], [0.5, 0.2, 1.0], [[0.0, 0, -1], [0.0, 0.8, -0.6], [0.0, 0, 1]])
        assert orientation(seen, FORWARD).item() == pytest.approx((0.5 + 0.2 * 0.36) / 2)

    def test_turns_normals_and_leaves_weights(self):
        seen = samples([0], [1.0], [0.5], [[0.0, 0.8, -0.6]])
        seen.normals.requires_grad_()
        orientation(seen, FORWARD).backward()
        assert seen.weights.grad is None and seen.normals.grad[0, 2] < 0

    def test_of_an_opaque_ball_is_almost_0(self):
        rays = turntable(1).rays(16, 16)
        seen = render(Ball(), rays, torch.ones(3), intervals=128, normals=True)
        assert orientation(seen.samples, rays.directions.flatten(0, 1)) < 1e-3

    def test_without_normals_it_is_refused(self):
        with pytest.raises(ValueError, match="normals=True"):
            orientation(samples([0], [1.0], [1.0]), FORWARD)


class TestOpacity:
    def test_sparsity_is_0_where_nothing_is_and_grows_with_what_is(self):
        assert sparsity(torch.zeros(5)).item() == pytest.approx(0, abs=1e-7)
        assert sparsity(torch.ones(5)).item() == pytest.approx(math.sqrt(1.01) - 0.1)
        assert 0 < sparsity(torch.full((5,), 0.2)) < sparsity(torch.full((5,), 0.3))

    def test_opaqueness_is_least_for_all_or_nothing_and_most_between(self):
        assert opaqueness(torch.tensor([0.0, 1.0, 1.0])) < 0.008
        assert opaqueness(torch.full((3,), 0.5)).item() == pytest.approx(math.log(2))

    @pytest.mark.parametrize(("start", "sign"), [(0.3, 1), (0.7, -1)])
    def test_opaqueness_pushes_to_the_nearer_end(self, start, sign):
        opacity = torch.tensor([start], requires_grad=True)
        opaqueness(opacity).backward()
        assert sign * opacity.grad > 0


class TestZVariance:
    def test_is_0_for_a_surface(self):
        seen = samples([0, 1], [1.0, 3.0], [0.9, 0.7])
        assert z_variance(seen, torch.tensor([0.9, 0.7, 0.0])) == 0

    def test_is_the_variance_along_solid_rays_alone(self):
        seen = samples([0, 0, 1, 1], [1.0, 3.0, 0.0, 9.0], [0.4, 0.4, 0.2, 0.2])
        assert z_variance(seen, torch.tensor([0.8, 0.4, 0.0])).item() == pytest.approx(1.0)

    def test_is_0_where_no_ray_is_solid(self):
        assert z_variance(samples([0], [1.0], [0.1]), torch.tensor([0.1, 0.0])) == 0

    def test_of_a_fitted_field_has_gradients(self):
        volume = Volume((8,))
        seen = render(volume.field(), turntable(1).rays(16, 16), torch.ones(3))
        z_variance(seen.samples, seen.opacity.flatten()).backward()
        assert volume.levels[0].grad.abs().max() > 0


def ball_normals(azimuth, hollow=False):
    """Rendered in the camera's frame, (1, 24, 24, 3); hollow: of the far wall's inside."""
    cameras = turntable(360)
    rays = cameras.rays(24, 24)
    one = type(rays)(rays.origins[[azimuth]], rays.directions[[azimuth]])
    ball = Ball(radius=0.8)
    near, chord = ball.entry(one)
    hit = one.origins[:, None] + (near + chord * hollow)[..., None] * one.directions
    world = F.normalize(hit, dim=-1) * (-1 if hollow else 1) * (chord > 0)[..., None]
    return (world @ cameras.rotation()[[azimuth]]).view(1, 24, 24, 3)


class TestConvexity:
    def test_is_0_for_a_plane(self):
        assert convexity(F.normalize(torch.tensor([0.3, -0.2, 0.9]), dim=0).expand(1, 16, 16, 3)).abs() < 1e-6

    def test_rewards_what_bulges_and_punishes_what_is_hollow(self):
        assert convexity(ball_normals(0)) < -0.2 and convexity(ball_normals(0, hollow=True)) > 0.2

    @pytest.mark.parametrize("azimuth", [45, 90, 180, 300])
    def test_does_not_depend_on_where_the_camera_stands(self, azimuth):
        assert convexity(ball_normals(azimuth)).item() == pytest.approx(convexity(ball_normals(0)).item(), abs=1e-4)

    def test_of_a_rendered_ball_is_that_of_its_surface(self):
        cameras = turntable(1)
        seen = render(Ball(radius=0.8), cameras.rays(24, 24), torch.ones(3), intervals=128, normals=True)
        normals = (seen.normal @ cameras.rotation()).view(1, 24, 24, 3)
        assert convexity(normals).item() == pytest.approx(convexity(ball_normals(0)).item(), abs=0.03)

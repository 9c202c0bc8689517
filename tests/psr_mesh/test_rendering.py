"""Volume rendering against a ball whose every view is known; what is left out; and that a volume can be fitted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from psr_mesh.cameras import CameraRanges, Rays, random_cameras, turntable
from psr_mesh.rendering import LONGEST, Light, ray_offsets, render
from psr_mesh.volume import Matter, Volume, VoxelField
from tests.psr_mesh.balls import Ball

WHITE, BLACK = torch.ones(3), torch.zeros(3)
CENTRE = torch.tensor([0.1, -0.15, 0.05])
RAYS = turntable(3).rays(24, 24)
STEP = LONGEST / 256  # at most, of an interval when a ray has 256


def inside(ball, rays=RAYS):
    """Rays that pass the ball well within its outline."""
    return ball.entry(rays)[1] > 0.3 * ball.radius


class Fog(Ball):
    """Density that falls linearly with x, everywhere."""

    def density(self, points):
        return self.density_inside * (2 - points[:, 0])


class TestABall:
    @pytest.mark.parametrize("density", [0.3, 2.0])
    def test_opacity_is_that_of_the_chord(self, density):
        ball = Ball(density, centre=CENTRE)
        seen = render(ball, RAYS, WHITE, intervals=256, tolerance=0)
        expected = 1 - (-density * ball.entry(RAYS)[1]).exp()
        assert (seen.opacity - expected).abs().max() < density * STEP
        assert seen.opacity[ball.entry(RAYS)[1] == 0].max() == 0

    def test_colour_is_mixed_with_the_background_by_opacity(self):
        background = torch.tensor([0.2, 0.4, 0.6])
        seen = render(Ball(1.0), RAYS, background, tolerance=0)
        opacity = seen.opacity[..., None]
        assert torch.allclose(seen.image, opacity * WHITE + (1 - opacity) * background, atol=1e-5)

    def test_a_solid_ball_is_as_far_as_its_surface(self):
        ball = Ball(centre=CENTRE)
        seen = render(ball, RAYS, WHITE, intervals=256)
        mine = inside(ball)
        assert (seen.depth - ball.entry(RAYS)[0])[mine].abs().max() < STEP
        assert seen.depth[~mine & (ball.entry(RAYS)[1] == 0)].max() == 0

    def test_depth_of_a_veil_is_the_mean_of_where_light_comes_from(self):
        ball = Ball(1e-3)
        near, chord = ball.entry(RAYS)
        seen = render(ball, RAYS, WHITE, intervals=256, tolerance=0)
        assert (seen.depth - near - chord / 2)[inside(ball)].abs().max() < STEP

    def test_normals_are_those_of_the_surface(self):
        ball = Ball(centre=CENTRE)
        seen = render(ball, RAYS, WHITE, intervals=256, normals=True)
        hit = RAYS.origins[:, None] + ball.entry(RAYS)[0][..., None] * RAYS.directions
        expected = (hit - CENTRE) / ball.radius
        assert (seen.normal - expected)[inside(ball)].abs().max() < 0.03

    def test_light_falls_as_lambert_says(self):
        ball = Ball()
        towards = turntable(3, elevation=40).rotation()[:, :, 2]
        light = Light(towards, ambient=0.2, diffuse=0.7)
        seen = render(ball, RAYS, BLACK, intervals=256, light=light)
        assert seen.normal is not None
        expected = 0.2 + 0.7 * (seen.normal * towards[:, None]).sum(-1).relu()
        assert torch.allclose(seen.image[inside(ball)], expected[inside(ball)][:, None].expand(-1, 3), atol=1e-3)

    def test_from_the_front_its_left_is_on_the_right(self):
        image = render(Ball(two_coloured=True), RAYS, WHITE).image[0].view(24, 24, 3)
        left, right = image[12, 7], image[12, 16]
        assert left[2] > 0.85 > 0.3 > left[0] and right[0] > 0.85 > 0.3 > right[2]


class TestRays:
    def test_beside_the_cube_see_the_background(self):
        rays = Rays(torch.tensor([[3.0, 0, 0]]), torch.tensor([[[0.0, 1, 0], [1, 0, 0], [-0.6, 0.8, 0]]]))
        seen = render(Fog(), rays, WHITE)
        assert torch.equal(seen.image, torch.ones(1, 3, 3)) and not seen.opacity.any()

    def test_along_an_axis_see_what_is_there(self):
        rays = Rays(torch.tensor([[3.0, 0, 0]]), torch.tensor([[[-1.0, 0, 0]]]))
        assert render(Ball(1.0), rays, WHITE, intervals=256, tolerance=0).opacity.item() == pytest.approx(
            0.6988, abs=0.005
        )

    def test_from_within_the_cube_see_what_is_before_them(self):
        rays = Rays(torch.zeros(1, 3), torch.tensor([[[1.0, 0, 0]]]))
        seen = render(Ball(1.0), rays, WHITE, intervals=256, tolerance=0)
        assert seen.opacity.item() == pytest.approx(1 - math.exp(-0.6), abs=0.005)


class TestSamples:
    def test_where_they_are_follows_from_seed_step_and_view(self):
        one = ray_offsets(RAYS, seed=1, step=2)
        alone = ray_offsets(Rays(RAYS.origins[:2], RAYS.directions[:2]), seed=1, step=2)
        assert torch.equal(one[:2], alone) and 0 < one.min() < 0.01 and 0.99 < one.max() <= 1
        for other in (ray_offsets(RAYS, 2, 2), ray_offsets(RAYS, 1, 3), one.roll(1, 0)):
            assert (one - other).abs().mean() > 0.3

    def test_are_one_in_each_interval_at_the_offset(self):
        offsets = ray_offsets(RAYS, 0, 0)
        samples = render(Fog(1e-3), RAYS, WHITE, intervals=8, offsets=offsets, tolerance=0).samples
        t = samples.t.view(-1, 8)
        width = (t[:, -1] - t[:, 0]) / 7
        assert torch.allclose(t.diff(dim=1), width[:, None].expand(-1, 7), atol=1e-4)
        start = t[:, 0] - width * offsets.flatten()
        entry = RAYS.origins.repeat_interleave(576, 0) + start[:, None] * RAYS.directions.flatten(0, 1)
        assert torch.allclose(entry.abs().amax(1), torch.ones(len(entry)), atol=1e-3)

    def test_over_many_steps_the_mean_is_the_truth(self):
        """Of optical depth, with 4 samples a ray: offsets leave no bias."""
        ball = Ball(1e-4)
        offsets = ray_offsets(Rays(RAYS.origins.repeat(40, 1), RAYS.directions.repeat(40, 1, 1)), 0, 0).view(40, 3, 576)
        seen = [render(ball, RAYS, WHITE, intervals=4, offsets=one, tolerance=0).opacity for one in offsets]
        assert torch.stack(seen).mean(0).mean() == pytest.approx(1e-4 * ball.entry(RAYS)[1].mean().item(), rel=0.02)


class TestLeavingOut:
    @pytest.fixture(scope="class")
    def volume(self):
        """With hard and soft parts, colours that differ from place to place."""
        volume, generator = Volume((4, 8, 16)), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for level in volume.levels:
                level.add_(2 * torch.randn(level.shape, generator=generator))
        return volume

    @pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
    def test_changes_no_pixel_by_more_than_the_tolerance(self, volume, tolerance):
        offsets = ray_offsets(RAYS, 0, 0)
        whole = render(volume.field(), RAYS, BLACK, offsets=offsets, tolerance=0)
        some = render(volume.field(), RAYS, BLACK, offsets=offsets, tolerance=tolerance)
        assert len(some.samples.t) < 0.8 * len(whole.samples.t) == 0.8 * RAYS.directions[..., 0].numel() * 64
        assert (some.image - whole.image).abs().max() <= tolerance
        assert (some.opacity - whole.opacity).abs().max() <= tolerance

    def test_changes_gradients_little(self, volume):
        gradients = []
        for tolerance in (0, 0.01):
            volume.zero_grad()
            render(volume.field(), RAYS, BLACK, tolerance=tolerance).image.square().sum().backward()
            gradients.append(torch.cat([level.grad.flatten() for level in volume.levels]))
        assert (gradients[0] - gradients[1]).norm() < 0.04 * gradients[0].norm()

    def test_of_a_solid_ball_leaves_little(self):
        volume = Volume((16,))
        axis = torch.linspace(-1, 1, 17)
        distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
        with torch.no_grad():
            volume.levels[0][0] = (200 * (0.7 - distance)).clamp(-20, 50)
        assert len(render(volume.field(), RAYS, WHITE).samples.t) < 0.25 * RAYS.directions[..., 0].numel() * 64

    def test_an_empty_cube_leaves_nothing(self):
        volume = Volume((4,))
        with torch.no_grad():
            volume.levels[0][0] = -20
        seen = render(volume.field(), RAYS, WHITE, normals=True)
        assert len(seen.samples.t) == 0 and torch.equal(seen.image, torch.ones(3, 576, 3))


class TestGradients:
    def test_are_those_of_finite_differences(self):
        rays = Rays(RAYS.origins[:1].double(), RAYS.directions[:1, 250:320:8].double())

        def image(logits):
            return render(VoxelField(logits), rays, WHITE.double(), intervals=6, tolerance=0).image

        logits = Volume((3,)).double().levels[0].detach().clone().requires_grad_()
        assert torch.autograd.gradcheck(image, logits, fast_mode=True)

    def test_reach_the_background(self):
        volume = Volume((4,))
        render(volume.field(), RAYS, volume.backdrop()).image.sum().backward()
        assert (volume.background.grad > 0).all()

    def test_of_normals_reach_the_density(self):
        volume = Volume((4,))
        light = Light(torch.tensor([0.0, 0.0, 1.0]))
        render(volume.field(), RAYS, WHITE, light=light).image.sum().backward()
        assert volume.levels[0].grad[0].abs().max() > 0


class TestFitting:
    def test_a_few_views_of_a_ball_give_its_colours_and_extent(self):
        ball, volume = Ball(two_coloured=True, radius=0.65), Volume((4, 8, 16))
        cameras = random_cameras(CameraRanges(), 8, seed=0, step=0)
        rays = cameras.rays(24, 24)
        target = render(ball, rays, WHITE, intervals=128).image
        optimizer = torch.optim.Adam(volume.parameters(), lr=0.3, betas=(0.9, 0.99))
        for step in range(60):
            view = slice(step % 4 * 2, step % 4 * 2 + 2)
            seen = Rays(rays.origins[view], rays.directions[view])
            image = render(volume.field(), seen, WHITE, intervals=24, offsets=ray_offsets(seen, 0, step)).image
            optimizer.zero_grad()
            (image - target[view]).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            seen = render(volume.field(), RAYS, WHITE, intervals=48)
            whole = render(ball, RAYS, WHITE, intervals=128)
        assert (seen.image - whole.image).square().mean() < 0.01  # from where none of the views was
        assert seen.opacity.mean().item() == pytest.approx(whole.opacity.mean().item(), rel=0.05)
        assert (seen.depth - whole.depth)[inside(ball)].abs().mean() < 0.25
        at = torch.tensor([[0.0, 0.6, 0.0], [0.0, -0.6, 0.0]])
        red, blue = volume.albedo(at)
        assert red[0] > red[2] + 0.4 and blue[2] > blue[0] + 0.4
        assert volume.density(torch.tensor([[0.0, 0.0, 0.95], [-0.95, 0, 0]])).max() < 0.1


def test_views_do_not_touch_each_other():
    volume = Volume((8,))
    together = render(volume.field(), RAYS, WHITE).image
    for view in range(3):
        alone = replace(RAYS, origins=RAYS.origins[[view]], directions=RAYS.directions[[view]])
        assert torch.allclose(render(volume.field(), alone, WHITE).image[0], together[view], atol=1e-6)


def test_a_background_may_differ_from_ray_to_ray():
    colours = torch.rand(3, 576, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(render(Ball(0.0), RAYS, colours).image, colours)


def test_matter_is_asked_only_where_it_is_seen():
    """A field that is not a number elsewhere, where it says that it is empty."""

    class Half(Ball):
        def matter(self, points):
            density, albedo = super().matter(points)
            return Matter(torch.where(points[:, 0] > 0, density, torch.nan), albedo)

        def occupied(self, least):
            return torch.tensor([False, True]).expand(2, 2, 2)

    seen = render(Half(1.0), RAYS, WHITE)
    assert seen.image.isfinite().all() and seen.opacity.max() > 0.3

"""Cameras: which way is left, where a point is seen, what views are called, and what random cameras follow from."""

from __future__ import annotations

import math

import pytest
import torch

from psr_core.distillation.multiview import camera_numbers
from psr_mesh.cameras import CameraRanges, Cameras, random_cameras, turntable

SIDE = 33  # odd: there is a pixel in the middle


def camera(azimuth=0.0, elevation=0.0, distance=3.0, fov=40.0, target=(0.0, 0.0, 0.0)):
    numbers = (torch.tensor([float(value)]) for value in (azimuth, elevation, distance, fov))
    return Cameras(*numbers, torch.tensor([target]))


def pixel(cameras, point, side=SIDE):
    """Row and column of the pixel whose ray passes nearest to a point."""
    rays = cameras.rays(side, side)
    to = torch.tensor(point) - rays.origins[0]
    along = (to * rays.directions[0]).sum(-1) / to.norm()
    return divmod(int(along.argmax()), side)


class TestWhereThingsAreSeen:
    def test_a_point_towards_the_camera_is_in_the_middle(self):
        assert pixel(camera(0), (1.0, 0.0, 0.0)) == (SIDE // 2, SIDE // 2)
        assert pixel(camera(90), (0.0, 1.0, 0.0)) == (SIDE // 2, SIDE // 2)
        assert pixel(camera(0, elevation=90), (0.0, 0.0, 1.0)) == (SIDE // 2, SIDE // 2)

    def test_the_objects_left_is_on_the_right_of_a_picture_from_the_front(self):
        row, column = pixel(camera(0), (0.0, 0.5, 0.0))
        assert row == SIDE // 2 and column > SIDE // 2 + 3
        assert pixel(camera(180), (0.0, 0.5, 0.0))[1] < SIDE // 2 - 3

    def test_up_is_up(self):
        row, column = pixel(camera(30, elevation=20), (0.0, 0.0, 0.5))
        assert row < SIDE // 2 - 3 and column == SIDE // 2

    def test_the_front_is_below_in_a_picture_from_above(self):
        row, column = pixel(camera(0, elevation=90), (0.5, 0.0, 0.0))
        assert row > SIDE // 2 + 3 and column == SIDE // 2

    def test_the_target_is_in_the_middle(self):
        target = (0.2, -0.1, 0.3)
        assert pixel(camera(70, 25, target=target), target) == (SIDE // 2, SIDE // 2)


class TestPinhole:
    def test_the_pictures_height_is_the_field_of_view(self):
        tall = camera(fov=50).rays(1001, 3).directions[0].view(1001, 3, 3)
        angle = torch.rad2deg(torch.acos((tall[0, 1] * tall[-1, 1]).sum()))
        assert angle.item() == pytest.approx(50, abs=0.1)

    def test_pixels_are_square(self):
        directions = camera().rays(5, 9).directions[0].view(5, 9, 3)
        flat = directions / -directions[..., :1]  # on a plane before a camera that looks along -x
        right, down = flat[2, 5] - flat[2, 4], flat[3, 4] - flat[2, 4]
        assert torch.allclose(right.norm(), down.norm()) and (right @ down).abs() < 1e-6

    def test_axes_are_those_that_multi_view_priors_know(self):
        cameras = random_cameras(CameraRanges(shift=0.0), 5, 0, 0)
        known = camera_numbers(cameras.elevation, cameras.azimuth).view(5, 4, 4)
        assert torch.allclose(cameras.rotation(), known[:, :3, :3], atol=1e-6)
        assert torch.allclose(cameras.position(), known[:, :3, 3] * cameras.distance[:, None], atol=1e-5)

    def test_directions_have_length_1_and_every_view_its_own(self):
        rays = turntable(4).rays(6, 5)
        assert rays.origins.shape == (4, 3) and rays.directions.shape == (4, 30, 3)
        assert torch.allclose(rays.directions.norm(dim=-1), torch.ones(4, 30))


class TestRandomCameras:
    RANGES = CameraRanges(azimuth=(-90, 90), elevation=(-5, 70), distance=(2, 3), fov=(30, 45), shift=0.1)

    def test_stay_in_their_ranges_and_fill_them(self):
        cameras = random_cameras(self.RANGES, 4000, seed=0, step=0)
        for name in ("azimuth", "elevation", "distance", "fov"):
            (low, high), values = getattr(self.RANGES, name), getattr(cameras, name)
            slack = 0.01 * (high - low)
            assert low - 1e-4 <= values.min() < low + slack and high - slack < values.max() <= high + 1e-4
        assert 0.099 < cameras.target.abs().max() <= 0.1

    def test_half_the_elevations_are_uniform_of_the_area(self):
        cameras = random_cameras(self.RANGES, 40000, seed=1, step=0)
        low, high = (math.sin(math.radians(value)) for value in self.RANGES.elevation)
        middle = math.degrees(math.asin((low + high) / 2))
        share = 0.5 * 0.5 + 0.5 * (middle + 5) / 75
        assert (cameras.elevation < middle).float().mean().item() == pytest.approx(share, abs=0.01)

    def test_views_of_a_step_are_from_all_around(self):
        azimuth = random_cameras(CameraRanges(), 4, seed=5, step=9).azimuth
        assert torch.equal(((azimuth + 180) / 90).floor(), torch.arange(4.0))

    def test_follow_from_seed_and_step(self):
        one, same = (random_cameras(CameraRanges(), 3, seed=1, step=2) for _ in range(2))
        assert torch.equal(one.rays(2, 2).directions, same.rays(2, 2).directions)
        for seed, step in ((2, 2), (1, 3)):
            other = random_cameras(CameraRanges(), 3, seed, step)
            assert (one.azimuth - other.azimuth).abs().min() > 1e-3

    @pytest.mark.parametrize(
        "wrong",
        [{"azimuth": (10, -10)}, {"elevation": (0, 91)}, {"distance": (-1, 2)}, {"fov": (0, 40)}, {"shift": -0.1}],
    )
    def test_ranges_that_are_none_are_refused(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CameraRanges(**wrong)


def test_views_are_called_as_in_the_pictures():
    azimuths = torch.tensor([0.0, 44, 46, 134, -136, 180, 0])
    cameras = Cameras(azimuths, torch.tensor([0.0] * 6 + [61]), *torch.ones(2, 7), torch.zeros(7, 3))
    assert cameras.words() == ["front", "front", "side", "side", "back", "back", "overhead"]


def test_a_turntable_starts_at_the_front_and_goes_on_to_the_left():
    assert turntable(4).azimuth.tolist() == [0, 90, 180, 270]
    assert turntable(4).words() == ["front", "side", "back", "side"]

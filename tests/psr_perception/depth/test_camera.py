"""The pinhole camera: projection and back-projection are inverse, and resizing the image is resizing the camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth.camera import Camera

sizes = st.tuples(st.integers(1, 40), st.integers(1, 30))
K = [50.0, 0, 15.5, 0, 60.0, 11.5, 0, 0, 1]


@st.composite
def cameras(draw):
    width, height = draw(sizes)
    fx, fy = draw(st.floats(5, 500)), draw(st.floats(5, 500))
    cx, cy = draw(st.floats(0, width)), draw(st.floats(0, height))
    # The fourth column is that of a stereo pair's second camera.
    p = [fx, 0, cx, draw(st.floats(-20, 20)), 0, fy, cy, draw(st.floats(-20, 20)), 0, 0, 1, 0]
    return Camera.from_camera_info(width, height, [fx, 0, cx, 0, fy, cy, 0, 0, 1], p)


def pixels_of(camera):
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([u, v], axis=-1)


def depth_of(camera, seed=0):
    return np.random.default_rng(seed).uniform(0.3, 20, (camera.height, camera.width)).astype(np.float32)


class TestProjection:
    @given(cameras(), st.integers(0, 2**32 - 1))
    def test_undoes_the_back_projection(self, camera, seed):
        depth = depth_of(camera, seed)
        points = camera.backproject(depth)
        assert points.dtype == np.float32
        np.testing.assert_array_equal(points[..., 2], depth)
        np.testing.assert_allclose(camera.project(points), pixels_of(camera), atol=2e-3)

    def test_known_point(self):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        np.testing.assert_allclose(camera.project(np.array([0.1, -0.2, 2.0])), [15.5 + 50 * 0.05, 11.5 - 60 * 0.1])
        np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 7.0])), [15.5, 11.5])

    def test_follows_p_where_it_differs_from_k(self):
        p = [80.0, 0, 16.0, -8.0, 0, 80.0, 12.0, 0, 0, 0, 1, 0]
        camera = Camera.from_camera_info(32, 24, K, p)
        np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 2.0])), [16.0 - 8.0 / 2, 12.0])

    def test_nothing_is_seen_behind_the_camera(self):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        points = np.array([[0, 0, -1.0], [0, 0, 0], [1, 1, 0], [np.nan, 0, 1], [0, 0, np.inf], [0, 0, 1]])
        assert np.isnan(camera.project(points)).all(axis=1).tolist() == [True] * 5 + [False]

    @pytest.mark.parametrize("invalid", [0.0, -1.0, np.nan, np.inf, -np.inf])
    def test_invalid_depth_becomes_nan(self, invalid):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        depth = depth_of(camera)
        depth[3, 4] = invalid
        missing = np.isnan(camera.backproject(depth))
        assert missing[3, 4].all() and missing.sum() == 3


class TestSparseDepth:
    @given(cameras())
    def test_every_pixel_of_a_depth_image_comes_back(self, camera):
        depth = depth_of(camera)
        rows = camera.sparse_depth(camera.backproject(depth).reshape(-1, 3))
        sparse = np.zeros_like(depth)
        sparse[tuple(np.rint(rows[:, :2]).astype(int).T)] = rows[:, 2]
        np.testing.assert_array_equal(sparse, depth)

    def test_keeps_what_falls_into_the_image(self):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        at = [(-0.4, 3), (-0.6, 3), (31.4, 23.4), (31.6, 3), (5, 23.6)]
        points = np.array([[(u - 15.5) / 50 * 2, (v - 11.5) / 60 * 2, 2.0] for u, v in at] + [[0, 0, -2.0]])
        np.testing.assert_allclose(camera.sparse_depth(points), [[3, -0.4, 2], [23.4, 31.4, 2]])


class TestResizing:
    @given(cameras(), sizes, sizes)
    def test_two_steps_are_one(self, camera, first, second):
        once, twice = camera.resized(*second), camera.resized(*first).resized(*second)
        assert (twice.width, twice.height) == second
        np.testing.assert_allclose(twice.k, once.k, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(twice.p, once.p, rtol=1e-9, atol=1e-9)

    @given(cameras(), sizes)
    def test_pixel_areas_keep_their_place_in_the_image(self, camera, size):
        points = camera.backproject(depth_of(camera)).astype(np.float64)
        before = (camera.project(points) + 0.5) / (camera.width, camera.height)
        resized = camera.resized(*size)
        np.testing.assert_allclose((resized.project(points) + 0.5) / size, before, atol=1e-9)

    @pytest.mark.parametrize("factor", [2, 3])
    def test_points_of_a_resized_wall_are_those_of_the_wall_resized(self, factor):
        camera = Camera.from_camera_info(36, 24, K, np.zeros(12))
        size = (36 // factor, 24 // factor)
        wall = np.full((24, 36), 2.0, np.float32)
        averaged = cv2.resize(camera.backproject(wall), size, interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(camera.resized(*size).backproject(wall[: size[1], : size[0]]), averaged, atol=1e-5)

    def test_the_same_size_changes_nothing(self):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        np.testing.assert_array_equal(camera.resized(32, 24).k, camera.k)


class TestRefusals:
    @pytest.mark.parametrize("place", [0, 4])
    def test_uncalibrated_camera(self, place):
        k = list(K)
        k[place] = 0.0
        with pytest.raises(ValueError, match=r"k has focal lengths .* calibrate the camera"):
            Camera.from_camera_info(32, 24, k, np.zeros(12))

    def test_p_without_a_focal_length(self):
        p = [0.0, 0, 16, 0, 0, 80, 12, 0, 0, 0, 1, 0]
        with pytest.raises(ValueError, match="p has focal lengths fx = 0 and fy = 80"):
            Camera.from_camera_info(32, 24, K, p)

    @pytest.mark.parametrize("k", [K[:8], [np.nan, *K[1:]], []])
    def test_numbers_missing(self, k):
        with pytest.raises(ValueError, match="k is .*, expected 9 numbers"):
            Camera.from_camera_info(32, 24, k, np.zeros(12))

    @pytest.mark.parametrize(("place", "value"), [(8, 0.0), (6, 0.1), (3, 2.0)])
    def test_no_pinhole(self, place, value):
        k = list(K)
        k[place] = value
        with pytest.raises(ValueError, match="expected a pinhole matrix"):
            Camera.from_camera_info(32, 24, k, np.zeros(12))

    def test_no_pixels(self):
        with pytest.raises(ValueError, match="camera_info is for 0 x 24 pixels"):
            Camera.from_camera_info(0, 24, K, np.zeros(12))
        with pytest.raises(ValueError, match="new size is 8 x 0 pixels"):
            Camera.from_camera_info(32, 24, K, np.zeros(12)).resized(8, 0)

    def test_an_image_of_another_size(self):
        camera = Camera.from_camera_info(32, 24, K, np.zeros(12))
        with pytest.raises(ValueError, match=r"depth image is \(32, 24\), its camera_info says .* \(24, 32\)"):
            camera.backproject(np.ones((32, 24)))

"""Metric depth: the truth comes back from whatever source, and what cannot be is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth.camera import Camera
from psr_perception.depth.metric import (
    KEPT,
    MetricSettings,
    SparseBuffer,
    SparseDepth,
    metric_depth,
    sparse_image_points,
)

SECOND = 10**9
SHAPE = (24, 32)
CAMERA = Camera.from_camera_info(32, 24, [30, 0, 15.5, 0, 30, 11.5, 0, 0, 1], [0] * 12)
RELATIVE = np.random.default_rng(0).random(SHAPE).astype(np.float32)
TRUTH = 3.0 * RELATIVE + 0.5
FITTED = MetricSettings("depth")


def sparse(points, stamp=0, frame="camera"):
    buffer = SparseBuffer()
    buffer.add(SparseDepth(stamp, frame, lambda camera: points))
    return buffer


def some_points(count=100, seed=1):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(24, size=count), rng.integers(32, size=count)
    return np.column_stack([rows, columns, TRUTH[rows, columns]])


class TestSources:
    def test_none_makes_nothing_and_complains_of_nothing(self):
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, MetricSettings(), SparseBuffer())
        assert (found.depth, found.problem, found.fit) == (None, "", None)

    @given(scale=st.floats(0.01, 50), shift=st.floats(-2, 20))
    def test_parameters_are_taken_at_their_word(self, scale, shift):
        settings = MetricSettings("parameters", scale, shift, min_depth=0.0, max_depth=1e6)
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, settings, SparseBuffer())
        expected = scale * RELATIVE.astype(np.float64) + shift
        if not (expected > 0).any():
            assert found.depth is None and "no pixel lies within" in found.problem
            return
        np.testing.assert_allclose(found.depth, np.where(expected > 0, expected, np.nan), rtol=1e-5, atol=1e-6)
        assert (found.scale, found.shift, found.fit) == (scale, shift, None)

    @pytest.mark.parametrize("count", [0, 40, 10_000])
    def test_sparse_depth_gives_the_truth_from_all_or_some_of_its_points(self, count):
        settings = MetricSettings("points", points=count)
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, settings, sparse(some_points()))
        np.testing.assert_allclose(found.depth, TRUTH, rtol=1e-4)
        assert found.depth.dtype == np.float32
        assert found.fit.points == (count if count == 40 else 100)

    def test_the_same_points_are_drawn_every_time(self):
        settings = MetricSettings("points", points=20)
        points = some_points() * (1, 1, 1.05) + np.random.default_rng(2).normal(0, (0, 0, 0.05), (100, 3))
        fits = {metric_depth(RELATIVE, 0, "camera", CAMERA, settings, sparse(points)).fit for _ in range(3)}
        assert len(fits) == 1

    def test_limits_make_nan_and_nothing_else_is_not_finite(self):
        settings = MetricSettings("depth", min_depth=1.0, max_depth=2.0)
        depth = metric_depth(RELATIVE, 0, "camera", CAMERA, settings, sparse(some_points())).depth
        inside = np.isfinite(depth)
        assert inside.any() and not inside.all()
        assert np.isnan(depth[~inside]).all()
        assert depth[inside].min() >= 1 and depth[inside].max() <= 2
        np.testing.assert_array_equal(inside, (TRUTH >= 1) & (TRUTH <= 2))


class TestProblems:
    @pytest.mark.parametrize(
        ("buffer", "complaint"),
        [
            (SparseBuffer(), "no metric depth: no sparse depth has come yet"),
            (sparse(some_points(), stamp=2 * SECOND), "2 s from the image, expected at most sparse_max_age = 0.5 s"),
            (sparse(some_points(), frame="lidar"), "in frame 'lidar', the image in 'camera'; transform it"),
            (sparse(np.zeros((0, 3))), "no valid points"),
            (sparse(np.full((50, 3), np.nan)), "no valid points"),
            (sparse(some_points(9)), "too few points"),
            (sparse(some_points() * (1, 1, -1) + (0, 0, 5)), "negative scale"),
        ],
    )
    def test_are_told_and_there_is_no_depth(self, buffer, complaint):
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, FITTED, buffer)
        assert found.depth is None
        assert complaint in found.problem

    def test_a_bad_fit_is_shown_but_makes_no_depth(self):
        points = some_points(400)
        points[:, 2] *= np.exp(np.random.default_rng(0).uniform(-3, 3, 400))
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, FITTED, sparse(points))
        assert found.depth is None
        assert not found.fit.is_good and found.scale > 0
        assert "of 400 points agree with the fit" in found.problem

    def test_limits_without_a_pixel_inside(self):
        settings = MetricSettings("parameters", 1.0, 1.0, min_depth=50.0)
        found = metric_depth(RELATIVE, 0, "camera", CAMERA, settings, SparseBuffer())
        assert found.depth is None
        assert "no pixel lies within 50 to 100 m" in found.problem


class TestSettings:
    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"source": "magic"}, "metric_source is 'magic', expected one of: none, parameters, depth, points"),
            ({"source": "parameters"}, "scale is 0, expected metres above 0"),
            ({"min_depth": 2.0, "max_depth": 2.0}, "min_depth is 2 and max_depth 2"),
            ({"min_depth": -1.0}, "min_depth is -1"),
        ],
    )
    def test_that_cannot_be_are_refused_by_name(self, fields, complaint):
        with pytest.raises(ValueError, match=complaint):
            MetricSettings(**fields)


class TestSparseBuffer:
    @given(st.lists(st.integers(0, 10), min_size=1, max_size=KEPT), st.integers(0, 10))
    def test_gives_the_nearest_in_time(self, stamps, wanted):
        buffer = SparseBuffer()
        for stamp in stamps:
            buffer.add(SparseDepth(stamp * SECOND, "camera", lambda camera: np.zeros((0, 3))))
        found = buffer.nearest(wanted * SECOND, 100.0)
        assert abs(found.stamp - wanted * SECOND) == min(abs(stamp - wanted) for stamp in stamps) * SECOND

    @pytest.mark.parametrize("early", [True, False])
    def test_keeps_the_best_for_an_image_however_many_come_while_it_is_worked_on(self, early):
        buffer = SparseBuffer()
        best = SparseDepth(100 * SECOND, "camera", lambda camera: np.zeros((0, 3)))
        if early:
            buffer.add(best)
        buffer.watch(100 * SECOND)
        if not early:
            buffer.add(best)
        for stamp in range(101, 101 + 2 * KEPT):
            buffer.add(SparseDepth(stamp * SECOND, "camera", lambda camera: np.zeros((0, 3))))
        assert buffer.nearest(100 * SECOND, 0.5) is best
        buffer.watch(120 * SECOND)
        assert buffer.nearest(120 * SECOND, 0.5).stamp == 120 * SECOND

    def test_keeps_the_last_few_until_it_is_cleared(self):
        buffer = SparseBuffer()
        for stamp in range(KEPT + 5):
            buffer.add(SparseDepth(stamp * SECOND, "camera", lambda camera: np.zeros((0, 3))))
        assert buffer.nearest(0, 100.0).stamp == 5 * SECOND
        buffer.clear()
        with pytest.raises(ValueError, match="no sparse depth has come yet"):
            buffer.nearest(0, 100.0)


class TestSparseImage:
    def test_of_the_images_size_keeps_its_pixels(self):
        depth = np.zeros(SHAPE)
        depth[3, 7], depth[20, 30] = 2.0, np.inf
        assert sparse_image_points(depth, CAMERA).tolist() == [[3, 7, 2.0]]

    def test_of_another_size_is_scaled_by_pixel_areas(self):
        depth = np.zeros((48, 64))
        depth[0, 0], depth[47, 63] = 1.0, 2.0
        assert sparse_image_points(depth, CAMERA).tolist() == [[-0.25, -0.25, 1.0], [23.25, 31.25, 2.0]]

    def test_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match="24 x 24 pixels, the image 32 x 24: another shape; register it"):
            sparse_image_points(np.ones((24, 24)), CAMERA)

"""Metric depth from sparse depth: exact where it can be, steady under outliers, better than the sparse points alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth.metrics import affine_fit
from psr_perception.depth.sparse_fit import (
    FitRefused,
    fit_sparse,
    interpolate_linear,
    interpolate_nearest,
    points_of,
)

SHAPE = (96, 128)
seeds = st.integers(0, 2**32 - 1)
scales = st.floats(0.05, 50)
shifts = st.floats(0.1, 20)


def room(rng):
    """A floor that runs to a wall 6 m away, and boxes before it: depth (H, W) in metres."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    below = np.maximum(rows / SHAPE[0] - 0.4, 1e-9)
    depth = np.minimum(0.8 / below, 6.0) + 0.8 * columns / SHAPE[1]
    for _ in range(8):
        row, column, height, width = rng.integers((0, 0, 8, 8), (70, 100, 26, 28))
        depth[row : row + height, column : column + width] = rng.uniform(1, 5)
    return depth


def relative_of(depth, rng, ripple=0.0):
    """The depth up to scale and shift, from 0 to 1, with a smooth relative error of at most `ripple`."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = np.sin(columns / 20 + rng.uniform(0, 6)) * np.cos(rows / 15 + rng.uniform(0, 6))
    wrong = depth * (1 + ripple * waves)
    return ((wrong - wrong.min()) / np.ptp(wrong)).astype(np.float32)


def lidar(depth, rng, n=200, outliers=0.0, noise=0.0):
    """n points on the depth map with relative noise, a share of them replaced by any depth up to twice the wall's."""
    rows, columns = rng.integers(0, depth.shape, (n, 2)).T
    measured = depth[rows, columns] * (1 + noise * rng.normal(size=n))
    wrong = rng.permutation(n)[: round(outliers * n)]
    measured[wrong] = rng.uniform(0.3, 12.0, len(wrong))
    return np.column_stack([rows, columns, measured])


def median_error(depth, truth):
    return float(np.median(np.abs(depth - truth) / truth))


class TestRecovery:
    @given(seeds, scales, shifts)
    def test_exact_without_outliers(self, seed, scale, shift):
        rng = np.random.default_rng(seed)
        relative = rng.random(SHAPE)
        fit = fit_sparse(relative, lidar(scale * relative + shift, rng, n=20))
        assert (fit.scale, fit.shift) == pytest.approx((scale, shift), rel=1e-6)
        assert (fit.points, fit.inliers, fit.share) == (20, 20, 1.0)
        assert fit.residual < 1e-9 and fit.is_good

    @pytest.mark.parametrize("outliers", [0.2, 0.4])
    @pytest.mark.parametrize("seed", range(5))
    def test_close_with_gross_outliers(self, outliers, seed):
        rng = np.random.default_rng(seed)
        depth = room(rng)
        relative = relative_of(depth, rng)
        fit = fit_sparse(relative, lidar(depth, rng, outliers=outliers, noise=0.01))
        np.testing.assert_allclose(fit.depth(relative), depth, rtol=0.02)
        assert 1 - outliers <= fit.share < 1 - outliers / 2 and fit.is_good

    @pytest.mark.parametrize("seed", range(5))
    def test_outliers_may_agree_with_each_other(self, seed):
        rng = np.random.default_rng(seed)
        depth = room(rng)
        relative = relative_of(depth, rng)
        points = lidar(depth, rng, noise=0.01)
        points[:70, 2] *= 1.8  # such as of a second echo
        np.testing.assert_allclose(fit_sparse(relative, points).depth(relative), depth, rtol=0.02)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_wall_with_most_of_the_points_does_not_decide_alone(self, seed):
        rng = np.random.default_rng(seed)
        depth = np.where(rng.random(SHAPE) < 0.8, 3.0, rng.uniform(1, 6, SHAPE))
        noise = np.where(depth == 3.0, 0.001, 0.04) * rng.normal(size=SHAPE)
        fit = fit_sparse((depth * (1 + noise) - 1) / 5, lidar(depth, rng, outliers=0.2))
        assert (fit.scale, fit.shift) == pytest.approx((5.0, 1.0), rel=0.1)

    def test_near_depths_are_as_accurate_as_far_ones(self):
        # An error of 5 % is 5 m at the far end: counted in metres, it would decide about the near end, too.
        relative = np.linspace(0, 1, 2000)[None]
        depth = 0.5 + 99.5 * relative
        near_errors = []
        for seed in range(20):
            points = points_of(depth * (1 + 0.05 * np.random.default_rng(seed).normal(size=depth.shape)))
            in_metres = affine_fit(relative[0], points[:, 2])[1]
            near_errors.append(np.abs([fit_sparse(relative, points).shift - 0.5, in_metres - 0.5]))
        fitted, in_metres = np.mean(near_errors, axis=0)
        assert fitted < 0.03 * 0.5 and fitted < in_metres / 3

    def test_more_points_than_are_scored(self):
        rng = np.random.default_rng(0)
        relative = rng.random(SHAPE)
        fit = fit_sparse(relative, points_of(3 * relative + 1))
        assert (fit.scale, fit.shift, fit.points) == (pytest.approx(3), pytest.approx(1), relative.size)


class TestInvariance:
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scaling_and_shifting_the_map_changes_nothing(self, seed, scale, shift):
        rng = np.random.default_rng(seed)
        depth = room(rng)
        relative = relative_of(depth, rng, ripple=0.03).astype(np.float64)
        points = lidar(depth, rng, outliers=0.2, noise=0.01)
        moved = scale * relative + shift
        fit, moved_fit = fit_sparse(relative, points), fit_sparse(moved, points)
        np.testing.assert_allclose(moved_fit.depth(moved), fit.depth(relative), rtol=1e-4)
        assert moved_fit.inliers == fit.inliers

    @given(seeds, st.floats(0.01, 100))
    def test_other_units_of_the_points_are_other_units_of_the_fit(self, seed, unit):
        rng = np.random.default_rng(seed)
        depth = room(rng)
        relative, points = relative_of(depth, rng, ripple=0.03), lidar(depth, rng, outliers=0.2)
        fit, other = fit_sparse(relative, points), fit_sparse(relative, points * (1, 1, unit))
        assert (other.scale, other.shift) == pytest.approx((unit * fit.scale, unit * fit.shift), rel=1e-6)

    def test_the_same_arguments_give_the_same_fit(self):
        rng = np.random.default_rng(0)
        depth = room(rng)
        relative, points = relative_of(depth, rng, ripple=0.1), lidar(depth, rng, outliers=0.4)
        assert fit_sparse(relative, points) == fit_sparse(relative, points)


class TestPoints:
    def test_an_image_and_its_points_say_the_same(self):
        sparse = np.array([[0.0, 2.0, np.nan], [np.inf, -1.0, 3.5]], np.float32)
        assert points_of(sparse).tolist() == [[0, 1, 2.0], [1, 2, 3.5]]

    def test_what_lies_outside_or_is_invalid_is_left_out(self):
        rng = np.random.default_rng(0)
        relative = rng.random(SHAPE)
        relative[0, 0] = np.nan
        points = lidar(2 * relative + 1, rng, n=30)
        rest = [[-0.6, 3, 2], [3, 127.6, 2], [96, 3, 2], [5, 5, 0], [5, 5, np.nan], [np.nan, 5, 2], [0, 0, 2]]
        fit = fit_sparse(relative, np.concatenate([points, rest]))
        assert fit == fit_sparse(relative, points)
        assert fit.points == 30

    def test_fractions_of_a_pixel_are_rounded(self):
        rng = np.random.default_rng(0)
        relative = rng.random(SHAPE)
        points = lidar(2 * relative + 1, rng, n=30)
        assert fit_sparse(relative, points + (-0.4, 0.4, 0)) == fit_sparse(relative, points)

    def test_the_line_may_lead_behind_the_camera(self):
        relative = np.linspace(0, 1, 100)[None]
        depth = 4 * relative - 1
        fit = fit_sparse(relative, points_of(depth))
        assert np.isnan(fit.depth(relative))[depth < -1e-6].all()
        np.testing.assert_allclose(fit.depth(relative)[depth > 1e-6], depth[depth > 1e-6], rtol=1e-4)


class TestBaselines:
    @pytest.mark.parametrize("seed", range(8))
    def test_the_fit_beats_what_the_points_alone_say(self, seed):
        """200 points, a fifth of them wrong: the median error is at least 30 % lower than every baseline's."""
        rng = np.random.default_rng(seed)
        depth = room(rng)
        relative = relative_of(depth, rng, ripple=0.02)
        points = lidar(depth, rng, outliers=0.2, noise=0.01)
        fitted = median_error(fit_sparse(relative, points).depth(relative), depth)
        alone = {
            "nearest": interpolate_nearest(points, SHAPE),
            "linear": interpolate_linear(points, SHAPE),
            "constant": np.full(SHAPE, np.median(points[:, 2])),
        }
        assert fitted <= 0.7 * min(median_error(guess, depth) for guess in alone.values())

    def test_a_plane_is_interpolated_exactly_between_the_points(self):
        rows, columns = np.mgrid[:20, :30]
        plane = 2 + 0.1 * rows + 0.05 * columns
        corners = np.array([[r, c, plane[r, c]] for r in (0, 19) for c in (0, 29)] + [[7, 9, plane[7, 9]]])
        np.testing.assert_allclose(interpolate_linear(corners, plane.shape), plane, rtol=1e-6)

    def test_outside_the_points_the_nearest_counts(self):
        points = np.array([[5.0, 5, 1.0], [5, 8, 2.0], [8, 5, 3.0]])
        linear, nearest = interpolate_linear(points, (20, 20)), interpolate_nearest(points, (20, 20))
        assert (linear[0, 0], linear[0, 19], linear[19, 0]) == (1.0, 2.0, 3.0)
        assert linear[6, 6] == pytest.approx(2.0) and nearest[6, 6] == 1.0

    def test_points_on_one_line_have_only_nearest_neighbours(self):
        points = np.array([[5.0, column, 1.0 + column] for column in range(0, 20, 4)])
        np.testing.assert_array_equal(interpolate_linear(points, (10, 20)), interpolate_nearest(points, (10, 20)))


class TestRefusals:
    def reason(self, relative, points):
        with pytest.raises(FitRefused) as refused:
            fit_sparse(relative, points)
        assert str(refused.value).startswith(refused.value.reason)
        return refused.value.reason

    def test_no_valid_points(self):
        assert self.reason(np.ones(SHAPE), points_of(np.zeros(SHAPE))) == "no valid points"
        assert self.reason(np.ones(SHAPE), np.empty((0, 3))) == "no valid points"
        assert self.reason(np.full(SHAPE, np.nan), points_of(np.ones(SHAPE))) == "no valid points"

    def test_too_few_points(self):
        rng = np.random.default_rng(0)
        relative = rng.random(SHAPE)
        points = lidar(relative + 1, rng, n=10)
        assert self.reason(relative, points[:9]) == "too few points"
        assert fit_sparse(relative, points).points == 10

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
    def test_constant_map(self, value):
        rng = np.random.default_rng(0)
        assert self.reason(np.full(SHAPE, value), lidar(room(rng), rng)) == "too little spread"

    def test_points_on_a_small_part_of_the_maps_range(self):
        rng = np.random.default_rng(0)
        relative = np.linspace(0, 1, SHAPE[1])[None].repeat(SHAPE[0], axis=0)
        points = lidar(2 * relative + 1, rng)
        points[:, 1] = rng.integers(60, 63, len(points))
        assert self.reason(relative, points) == "too little spread"

    def test_all_points_but_one_are_alike(self):
        relative = np.zeros((1, 100))
        relative[0, -1] = 1.0  # one pixel differs: the scale follows from its point, and without it from none
        depth = np.full((1, 100), 2.0)
        depth[0, -1] = 5.0
        assert fit_sparse(relative, points_of(depth)).scale == pytest.approx(3.0)
        depth[0, -1] = np.nan
        assert self.reason(relative, points_of(depth)) == "too little spread"

    def test_inverse_depth(self):
        rng = np.random.default_rng(0)
        depth = room(rng)
        assert self.reason(1 / depth, lidar(depth, rng, outliers=0.2)) == "negative scale"

    def test_a_poor_map_that_rises_on_the_whole_is_fitted_though_most_points_say_nothing(self):
        """Of a table nearly all points agree with any slope; a wall behind it says which."""
        rng = np.random.default_rng(0)
        depth = np.full(SHAPE, 1.0)
        depth[:20] = 3.0
        relative = (depth - 1) / 2 + rng.normal(0, 0.1, SHAPE)
        relative[20:] -= 0.1 * np.linspace(0, 1, SHAPE[0] - 20)[:, None]
        depth[20:] += 0.3 * np.linspace(0, 1, SHAPE[0] - 20)[:, None]
        assert fit_sparse(relative, lidar(depth, rng)).scale > 0

    def test_a_map_that_has_nothing_to_do_with_the_scene_makes_no_good_fit(self):
        refused = 0
        for seed in range(6):
            rng = np.random.default_rng(seed)
            relative, points = rng.random(SHAPE), lidar(np.exp(rng.uniform(-1, 3, SHAPE)), rng)
            try:
                fit = fit_sparse(relative, points)
            except FitRefused:  # half of such maps fall with depth
                refused += 1
            else:
                assert not fit.is_good and fit.share < 0.4
        assert 0 < refused < 6

    def test_shapes_and_threshold(self):
        points = np.ones((20, 3))
        for arguments in ((np.ones((3, 4, 1)), points), (np.ones(SHAPE), points[:, :2]), (np.ones(SHAPE), points[0])):
            with pytest.raises(ValueError, match=r"expected \(H, W\) and \(N, 3\)"):
                fit_sparse(*arguments)
        with pytest.raises(ValueError, match="threshold is 0.0, expected a relative error above 0"):
            fit_sparse(np.ones(SHAPE), points, threshold=0.0)

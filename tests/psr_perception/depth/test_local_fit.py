"""Depth drawn to sparse points: nearer to the truth than one scale and shift, and never led astray by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth import local_fit
from psr_perception.depth.local_fit import fit_locally, interpolate_planes
from psr_perception.depth.sparse_fit import SparseFit, fit_sparse, interpolate_linear, interpolate_nearest
from tests.psr_perception.depth.test_sparse_fit import SHAPE, lidar, median_error, relative_of, room

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_where_the_fit_is_exact_it_stays(seed):
    rng = np.random.default_rng(seed)
    depth = room(rng)
    relative, points = relative_of(depth, rng), lidar(depth, rng)
    fit = fit_sparse(relative, points)
    np.testing.assert_allclose(fit_locally(relative, points, fit).depth, fit.depth(relative), rtol=1e-4)


@given(seeds, st.floats(0.05, 20))
def test_it_scales_with_the_points(seed, scale):
    rng = np.random.default_rng(seed)
    depth = room(rng)
    relative, points = relative_of(depth, rng, ripple=0.1), lidar(depth, rng, outliers=0.2)
    larger = points * [1, 1, scale]
    one, other = (fit_locally(relative, each, fit_sparse(relative, each)).depth for each in (points, larger))
    np.testing.assert_allclose(other, scale * one, rtol=1e-3)


@pytest.mark.parametrize("ripple", [0.05, 0.1, 0.15])
@pytest.mark.parametrize("seed", range(3))
def test_it_beats_the_fit_and_the_points_alone_by_thirty_percent(ripple, seed):
    """The map is wrong by a smooth relative error; 200 points, 20 % of them outliers."""
    rng = np.random.default_rng(seed)
    depth = room(rng)
    relative, points = relative_of(depth, rng, ripple=ripple), lidar(depth, rng, outliers=0.2)
    fit = fit_sparse(relative, points)
    error = median_error(fit_locally(relative, points, fit).depth, depth)
    others = [fit.depth(relative), interpolate_nearest(points, SHAPE), interpolate_linear(points, SHAPE)]
    assert error < 0.7 * min(median_error(other, depth) for other in others)


def test_a_whole_region_that_the_fit_misses_is_believed():
    """A fit that takes the wall for as near as the table: the wall's points agree with each other."""
    rng = np.random.default_rng(0)
    depth = np.where(np.arange(SHAPE[0])[:, None] < 30, 4.0, 1.0) * np.ones(SHAPE)
    relative, points = relative_of(depth, rng), lidar(depth, rng, outliers=0.2)
    blind = SparseFit(200, 150, 0.0, 0.01, 0.95)
    found = fit_locally(relative, points, blind).depth
    assert median_error(found[:25], depth[:25]) < 0.05 and median_error(found[35:], depth[35:]) < 0.02


def test_far_from_every_point_the_fit_holds():
    rng = np.random.default_rng(0)
    depth = room(rng)
    relative, points = relative_of(depth, rng, ripple=0.1), lidar(depth, rng)
    fit = fit_sparse(relative, points)
    corner = points[(points[:, 0] < 30) & (points[:, 1] < 30)]
    ratio = fit_locally(relative, corner, fit).depth / fit.depth(relative)
    assert np.abs(ratio[:25, :25] - 1).max() > 0.03
    np.testing.assert_allclose(ratio[-5:, -5:], 1, atol=1e-3)


def test_more_points_than_draw_are_thinned_and_that_changes_little(monkeypatch):
    rng = np.random.default_rng(0)
    depth = room(rng)
    relative, points = relative_of(depth, rng, ripple=0.1), lidar(depth, rng, n=1000)
    fit = fit_sparse(relative, points)
    whole = fit_locally(relative, points, fit).depth
    drew, plane = [], local_fit._plane
    monkeypatch.setattr(local_fit, "POINTS", 300)
    monkeypatch.setattr(
        local_fit, "_plane", lambda wanted, places, v: drew.append(len(places)) or plane(wanted, places, v)
    )
    assert median_error(fit_locally(relative, points, fit).depth, whole) < 0.01
    assert len(drew) == 2 and max(drew) <= 300


@given(seeds)
def test_without_a_map_planes_pass_through_what_is_a_plane_in_the_logarithm(seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    depth = np.exp(rng.uniform(-1, 1) + rng.uniform(-0.005, 0.005) * rows + rng.uniform(-0.005, 0.005) * columns)
    found = interpolate_planes(lidar(depth, rng, outliers=0.1), SHAPE)
    assert median_error(found, depth) < 0.01


def test_points_whose_neighbours_contradict_them_are_no_inliers():
    rng = np.random.default_rng(0)
    depth = room(rng)
    relative, points = relative_of(depth, rng, ripple=0.1), lidar(depth, rng)
    wrong = points.copy()
    wrong[::10, 2] *= 1.6
    found = fit_locally(relative, wrong, fit_sparse(relative, points))
    assert (found.points, found.inliers) == (200, pytest.approx(180, abs=4)) and found.is_good
    assert median_error(found.depth, depth) < 0.02


def test_a_map_that_says_nothing_is_not_good():
    rng = np.random.default_rng(0)
    depth = room(rng)
    points = lidar(depth, rng, outliers=0.9)
    found = fit_locally(relative_of(depth, rng), points, fit_sparse(relative_of(depth, rng), lidar(depth, rng)))
    assert not found.is_good and found.inliers < 80

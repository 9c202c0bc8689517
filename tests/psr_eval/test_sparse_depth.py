"""Sparse depth alone and with a map: what is drawn, what is compared, what a perfect map and a useless one give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_eval.sparse_depth import (
    ALONE,
    FITTED,
    METHODS,
    SparseSettings,
    as_markdown,
    compare,
    draw_points,
    estimates,
    median_error,
)
from tests.psr_perception.depth.test_sparse_fit import SHAPE, relative_of, room

VALID = np.ones(SHAPE, bool)


class TestDrawnPoints:
    @given(number=st.integers(0, 1000), count=st.integers(1, 300), share=st.floats(0, 0.9))
    def test_they_are_true_but_for_the_outliers(self, number, count, share):
        depth = room(np.random.default_rng(0))
        points = draw_points(depth, VALID, SparseSettings(count, share), number)
        truth = depth[tuple(points[:, :2].astype(int).T)]
        assert len(points) == count
        assert (points[:, 2] != truth).sum() == round(share * count)
        assert (0.5 * depth.min() <= points[:, 2]).all() and (points[:, 2] <= 1.5 * depth.max()).all()

    def test_the_same_image_has_the_same_points_and_others_have_others(self):
        depth = room(np.random.default_rng(0))
        first, again, other = (draw_points(depth, VALID, SparseSettings(), number) for number in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first[:, :2], other[:, :2])

    def test_only_valid_pixels_are_drawn_each_once(self):
        valid = np.zeros(SHAPE, bool)
        valid[40:44, 60:64] = True
        points = draw_points(room(np.random.default_rng(0)), valid, SparseSettings(200, 0.0), 0)
        assert len({tuple(point[:2]) for point in points}) == 16

    @pytest.mark.parametrize(("field", "value"), [("points", 0), ("outliers", 1.0), ("outliers", -0.1)])
    def test_impossible_settings_are_named(self, field, value):
        with pytest.raises(ValueError, match=f"{field} is {value}, expected"):
            SparseSettings(**{field: value})


def test_a_perfect_map_gives_the_truth_and_a_useless_one_no_good_line():
    rng = np.random.default_rng(0)
    depth = room(rng)
    points = draw_points(depth, VALID, SparseSettings(), 0)
    perfect = estimates(relative_of(depth, rng), points)
    assert set(perfect) == set(METHODS)
    for name in FITTED:
        assert median_error(perfect[name], depth, VALID) < 2e-3  # outliers that happen to be nearly right
    useless = estimates(rng.random(SHAPE).astype(np.float32), points)
    assert useless["fit"] is None
    assert all(useless[name] is not None for name in ALONE)


def test_pixels_without_depth_count_as_wrong():
    truth = np.full((2, 3), 2.0)
    depth = np.array([[2.0, np.nan, np.nan], [2.0, np.nan, np.nan]])
    assert median_error(depth, truth, np.ones((2, 3), bool)) == 1.0
    assert median_error(depth, truth, np.isfinite(depth)) == 0.0


def test_shares_are_of_the_means_and_refusals_are_counted():
    errors = {
        "constant": 0.4,
        "nearest point": 0.1,
        "linear between points": 0.2,
        "planes through points": 0.3,
        "fit": 0.08,
        FITTED[1]: 0.05,
    }
    measured = [
        {"errors": {name: each * value for name, value in errors.items()}, "refused": each > 1} for each in (1, 2)
    ]
    results = {each.method: each for each in compare(measured)}
    assert results["fit"].error == pytest.approx(0.12)
    assert results[FITTED[1]].against["nearest point"] == pytest.approx((0.5, 0.5, 0.5))
    assert set(results["fit"].against) == set(ALONE)
    assert (results["fit"].refused, results["constant"].refused) == (1, 0)
    facts = {"data": "rooms", "checkpoint": "depth", "images": 2, "steering": "psr k=1", "num_inference_steps": 10}
    text = as_markdown(list(results.values()), {**facts, "points": 200, "outliers": 0.2, "seed": 0})
    assert "| fit | 12.00 % |" in text and "80% [80%, 80%]" in text and "On 1 images" in text

"""Evaluation of affine-invariant depth: what the alignment removes, what is left to measure, and what is refused."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth.metrics import DepthMetrics, affine_fit, align, evaluate_depth, mean_metrics

PERFECT = DepthMetrics(abs_rel=0.0, delta1=1.0, delta2=1.0, delta3=1.0, rmse=0.0)
RANGE = (1e-3, 10.0)
seeds = st.integers(0, 2**32 - 1)


def image(seed, shape=(24, 32)):
    """Ground truth in metres, a noisy affine prediction of it, and which pixels are valid."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 9.0, shape).astype(np.float32)
    prediction = (0.1 * depth + 0.05 + 0.02 * rng.normal(size=shape)).astype(np.float32)
    return prediction, depth, rng.random(shape) < 0.7


class TestEvaluate:
    @given(seeds, st.floats(0.01, 100), st.floats(-50, 50))
    def test_scale_and_shift_of_the_prediction_do_not_matter(self, seed, scale, shift):
        prediction, depth, valid = image(seed)
        moved = scale * prediction.astype(np.float64) + shift
        expected = evaluate_depth(prediction, depth, valid, *RANGE)
        assert astuple(evaluate_depth(moved, depth, valid, *RANGE)) == pytest.approx(astuple(expected), rel=1e-6)

    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.1, 0.2), (-3.0, 40.0)])
    def test_an_affine_map_of_the_truth_is_perfect(self, scale, shift):
        _, depth, valid = image(0)
        metrics = evaluate_depth(scale * depth.astype(np.float64) + shift, depth, valid, *RANGE)
        assert astuple(metrics) == pytest.approx(astuple(PERFECT), abs=1e-9)

    @given(seeds)
    def test_invalid_pixels_do_not_matter(self, seed):
        prediction, depth, valid = image(seed)
        expected = evaluate_depth(prediction, depth, valid, *RANGE)
        depth[~valid], prediction[~valid] = np.nan, 1e9
        assert evaluate_depth(prediction, depth, valid, *RANGE) == expected

    def test_known_values(self):
        # Where the prediction is 0 the depths are 1 and 3, and where it is 1 as well: aligned, it is 2 everywhere.
        depth = np.array([[1.0, 3.0], [3.0, 1.0]])
        prediction = np.array([[0.0, 0.0], [1.0, 1.0]])
        metrics = evaluate_depth(prediction, depth, np.ones((2, 2), bool), *RANGE)
        assert metrics.abs_rel == pytest.approx((1 / 1 + 1 / 3) / 2)
        assert metrics.rmse == pytest.approx(1.0)
        # The ratios are 2 and 1.5, the bounds 1.25, 1.5625 and 1.953125.
        assert (metrics.delta1, metrics.delta2, metrics.delta3) == (0.0, 0.5, 0.5)

    def test_the_aligned_prediction_is_clipped_to_the_range(self):
        depth = np.linspace(1.0, 9.0, 40).reshape(4, 10)
        metrics = evaluate_depth(depth, depth, np.ones_like(depth, bool), 3.0, 7.0)
        assert metrics.abs_rel == pytest.approx(np.mean(np.abs(np.clip(depth, 3.0, 7.0) - depth) / depth))

    def test_nothing_is_behind_the_camera(self):
        prediction, depth, valid = image(3)
        depth[0, :4], prediction[0, :4], valid[0, :4] = 0.01, -2.0, True
        assert np.isfinite(astuple(evaluate_depth(prediction, depth, valid, 0.0, 10.0))).all()


class TestAlignment:
    @given(seeds)
    def test_agrees_with_the_solver_of_linear_systems(self, seed):
        prediction, depth, valid = image(seed)
        columns = np.column_stack([prediction[valid], np.ones(valid.sum())]).astype(np.float64)
        assert align(prediction, depth, valid) == pytest.approx(
            np.linalg.lstsq(columns, depth[valid], rcond=None)[0], rel=1e-6
        )

    @given(seeds)
    def test_weights_count_like_repetitions(self, seed):
        rng = np.random.default_rng(seed)
        x, y, times = rng.normal(size=9), rng.normal(size=9), rng.integers(1, 5, 9)
        assert affine_fit(x, y, times) == pytest.approx(affine_fit(np.repeat(x, times), np.repeat(y, times)), abs=1e-9)

    @pytest.mark.parametrize(("shape", "max_res"), [((24, 32), 13), ((32, 24), 9), ((7, 300), 101), ((24, 32), 31)])
    def test_a_large_image_is_thinned_as_the_original_does(self, shape, max_res):
        prediction, depth, valid = image(1, shape)
        nearest = torch.nn.Upsample(scale_factor=max_res / max(shape), mode="nearest")
        thinned = [nearest(torch.from_numpy(m).float()[None])[0].numpy() for m in (prediction, depth, valid)]
        assert thinned[0].shape == (shape[0], int(shape[1] * max_res / max(shape)))
        assert align(prediction, depth, valid, max_res) == align(*thinned[:2], thinned[2].astype(bool))

    def test_a_small_image_is_not_thinned(self):
        assert align(*image(1), 32) == align(*image(1)) != align(*image(1), 31)


class TestMean:
    def test_images_count_alike(self):
        other = DepthMetrics(abs_rel=0.3, delta1=0.5, delta2=0.6, delta3=0.9, rmse=0.4)
        assert astuple(mean_metrics([PERFECT, other])) == pytest.approx((0.15, 0.75, 0.8, 0.95, 0.2))
        assert mean_metrics([other]) == other

    def test_refuses_no_images(self):
        with pytest.raises(ValueError, match="no images"):
            mean_metrics([])


class TestRefusals:
    def test_shapes_differ(self):
        prediction, depth, valid = image(0)
        for arguments in ((prediction[1:], depth, valid), (prediction, depth, valid[:, 1:]), (prediction[None],) * 3):
            with pytest.raises(ValueError, match=r"expected \(H, W\), all the same"):
                evaluate_depth(*arguments, *RANGE)

    def test_mask_of_numbers(self):
        prediction, depth, valid = image(0)
        with pytest.raises(ValueError, match="valid is uint8, expected bool"):
            evaluate_depth(prediction, depth, valid.astype(np.uint8), *RANGE)

    def test_no_valid_pixel(self):
        prediction, depth, valid = image(0)
        with pytest.raises(ValueError, match="none of the 768 pixels is valid"):
            evaluate_depth(prediction, depth, np.zeros_like(valid), *RANGE)

    def test_no_valid_pixel_after_thinning(self):
        prediction, depth, valid = image(0)
        valid[:] = False
        valid[:, 1] = True
        with pytest.raises(ValueError, match="no valid pixel is left at alignment_max_res 16"):
            evaluate_depth(prediction, depth, valid, *RANGE, 16)

    def test_constant_prediction(self):
        _, depth, valid = image(0)
        with pytest.raises(ValueError, match="constant"):
            evaluate_depth(np.full_like(depth, 0.1), depth, valid, *RANGE)

    @pytest.mark.parametrize("broken", [np.nan, np.inf])
    def test_prediction_not_finite(self, broken):
        prediction, depth, valid = image(0)
        prediction[5, :], valid[5, :] = broken, True
        with pytest.raises(ValueError, match="prediction is not finite at 32 of"):
            evaluate_depth(prediction, depth, valid, *RANGE)

    @pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0, -1.0])
    def test_ground_truth_that_is_no_depth(self, broken):
        prediction, depth, valid = image(0)
        depth[5, 5], valid[5, 5] = broken, True
        with pytest.raises(ValueError, match="where it is valid, expected positive and finite"):
            evaluate_depth(prediction, depth, valid, *RANGE)

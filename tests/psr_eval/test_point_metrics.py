"""Figures of points against a density, where what they should be is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from psr_core.mixtures import GaussianMixture
from psr_eval.point_metrics import METRICS, OUTSIDE, WIDTHS, score, truth_of

N = 400


def normals(seed, n=N):
    return torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def truth():
    one = torch.eye(2, dtype=torch.float64)[None]
    mixture = GaussianMixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), one)
    return truth_of(mixture, N, torch.Generator().manual_seed(9))


def figures(scores):
    return {metric: scores.estimate(metric) for metric in METRICS}


def test_samples_of_the_truth_reach_what_can_be_reached(truth):
    found = figures(score(normals(0), truth))
    assert found["nll"].low < 1 + math.log(2 * math.pi) < found["nll"].high  # a normal's entropy
    assert found["inside"].low <= 1 - OUTSIDE <= found["inside"].high
    assert found["precision"].mean > 0.9 < found["recall"].mean
    assert found["coverage"].mean > 0.75  # 1 - 1/2³ of many samples
    assert found["mmd"].low < 0 < found["mmd"].high and found["spread"].low < 1 < found["spread"].high


def test_the_edge_leaves_out_its_share_of_the_truth(truth):
    """Of a normal in the plane: where exp(-r²/2) is the share."""
    assert truth.edge == pytest.approx(math.log(OUTSIDE) - math.log(2 * math.pi), abs=0.1)


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_mmd_of_a_shifted_normal_is_the_analytic_one(truth, shift):
    found = score(normals(1) + torch.tensor([shift, 0.0]), truth).estimate("mmd")
    parts = [2 * w**2 / (w**2 + 2) * (1 - math.exp(-(shift**2) / (2 * (w**2 + 2)))) for w in WIDTHS]
    assert found.low < sum(parts) / len(parts) < found.high and found.high - found.low < 0.5 * found.mean + 0.02


def test_points_far_away_are_unfaithful_and_cover_nothing(truth):
    found = figures(score(normals(2) + 30, truth))
    for metric in ("inside", "precision", "recall", "coverage"):
        assert found[metric].mean == 0
    assert found["nll"].mean > 800


def test_points_at_the_mode_are_faithful_and_cover_nothing(truth):
    found = figures(score(1e-3 * normals(3), truth))
    assert found["inside"].mean == 1 and found["recall"].mean < 0.02 > found["spread"].mean
    assert found["coverage"].mean < 0.05 and found["nll"].mean == pytest.approx(math.log(2 * math.pi), abs=1e-3)


def test_strays_raise_recall_but_not_coverage(truth):
    collapsed, scattered = 1e-3 * normals(3), 30 * normals(4)
    plain, strays = score(collapsed, truth), score(torch.cat([collapsed[:300], scattered[:100]]), truth)
    assert strays.minus(plain, "recall").low > 0.5 and abs(strays.minus(plain, "coverage").mean) < 0.05


def test_the_interval_of_a_mean_is_its_standard_error(truth):
    x = normals(5)
    found = score(x, truth).estimate("nll")
    error = float(truth.mixture.log_density(x).std()) / N**0.5
    assert found.high - found.mean == pytest.approx(1.96 * error, rel=0.3)


def test_differences_are_paired(truth):
    """A tiny shift is found for sure where each figure alone could not tell."""
    one, other = (score(normals(6) * scale, truth) for scale in (1.0, 1.01))
    paired, alone = other.minus(one, "spread"), one.estimate("spread")
    assert paired.low > 0 and paired.high - paired.low < 0.1 * (alone.high - alone.low)
    assert np.all(one.minus(one, "recall").high == 0)


@pytest.mark.parametrize("points", [normals(0)[:-1], normals(0) * math.nan, torch.zeros(N, 3)])
def test_wrong_points_are_refused(truth, points):
    with pytest.raises(ValueError, match=r"points have shape .*, expected finite ones \(400, 2\)"):
        score(points, truth)


def test_too_few_points_are_refused(truth):
    with pytest.raises(ValueError, match="there are 5 points, expected 16 or more"):
        truth_of(truth.mixture, 5, torch.Generator())

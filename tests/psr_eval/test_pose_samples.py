"""Pose settings on a network that knows the truth: right errors, shared noise, and runs that go on."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from psr_core.steering import Steering
from psr_eval.pose_images import RenderedImages
from psr_eval.pose_rows import Row
from psr_eval.pose_samples import PoseSampling, mean_error, measure
from psr_perception.pose.checkpoint import load_pose_network, read_pose_description
from psr_perception.pose.network import PoseConfig, PoseNetwork
from tests.psr_eval.pose_oracle import SYMMETRIES, Oracle, psr, telling

MODEL = SYMMETRIES.parents[1] / "models" / "pose"
SPREAD = math.radians(1.0)
EIGHT, SHARP = Row(8), Row(8, 1.0, psr(cap=True))


def sampling(data=None, **fields):
    return PoseSampling(Oracle(SPREAD), data or telling(), **fields)


class TestSamples:
    def errors(self, row, **fields):
        run = sampling(samples=200, **fields)
        return run.errors(row, [0, 1], run.encode([0, 1]))

    def test_of_score_sampling_have_the_models_spread(self):
        found = self.errors(Row(100))
        assert found.shape == (2, 200)
        assert found.mean() == pytest.approx(1.6, rel=0.15)  # degrees; 2 √(2/π), of a normal of 1 degree an axis

    def test_are_steered_and_take_the_rows_steps_eta_and_indexing(self):
        smooth = Row(20, 0.0)
        assert self.errors(replace(smooth, steering=psr(cap=True))).mean() < 0.5 * self.errors(smooth).mean()
        found = [self.errors(row) for row in (EIGHT, Row(4), Row(8, 0.0), Row(8, indexing="upstream"))]
        assert all(not np.allclose(found[0], other) for other in found[1:])

    def test_rows_share_initial_rotations_and_noise(self):
        close = self.errors(Row(8, 1.0, Steering(k=1 + 1e-5, sigma=0.5)))
        assert np.abs(close - self.errors(EIGHT)).max() < 1e-2 < self.errors(EIGHT).std()

    def test_follow_from_the_images_number_and_the_seed(self):
        run = sampling(samples=3)
        alone, both = (run.sample(EIGHT, numbers, run.encode(numbers)) for numbers in ([1], [0, 1]))
        torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)
        other = sampling(samples=3, seed=1)
        assert (other.sample(EIGHT, [1], other.encode([1])) - alone).abs().max() > 1e-3

    @pytest.mark.parametrize("name", ["samples", "batch"])
    def test_none_is_refused(self, name):
        with pytest.raises(ValueError, match=f"{name} is 0, expected 1 or more"):
            sampling(**{name: 0})


class TestMeasuring:
    def test_gives_each_rows_errors_in_the_order_of_the_images(self, tmp_path):
        run = sampling(telling("cube", "cone"), samples=2, batch=3)
        found = measure(run, [EIGHT, SHARP], tmp_path / "images.jsonl")
        for row in (EIGHT, SHARP):
            expected = run.errors(row, range(4), run.encode(range(4)))
            np.testing.assert_allclose(found[row], expected, atol=1e-3)

    def test_goes_on_batch_by_batch_with_the_same_figures(self, tmp_path):
        run, path = sampling(batch=2), tmp_path / "images.jsonl"

        def stop(done, total, name):
            if done == 24:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            measure(run, [EIGHT, SHARP], path, stop)
        entries = [json.loads(line)["settings"]["images"] for line in path.read_text().splitlines()]
        assert entries == [[0, 2], [0, 2], [2, 4]]
        reports = []
        resumed = measure(run, [EIGHT, SHARP], path, lambda *report: reports.append(report))
        assert [report[:2] for report in reports] == [(0, 8), (8, 8)]
        whole = measure(run, [EIGHT, SHARP], tmp_path / "other.jsonl")
        assert all(np.array_equal(resumed[row], whole[row]) for row in whole)

    def test_other_settings_are_measured_anew(self, tmp_path):
        path = tmp_path / "images.jsonl"
        first = measure(sampling(), [EIGHT], path)[EIGHT]
        for other in (sampling(seed=1), sampling(telling("cone")), sampling(facts={"weights": "b"})):
            reports = []
            measure(other, [EIGHT], path, lambda *report, seen=reports: seen.append(report))
            assert reports[-1][:2] == (8, 8)
        again = measure(sampling(), [EIGHT], path, lambda *report: pytest.fail("was there already"))
        assert np.array_equal(again[EIGHT], first)

    def test_what_is_not_finite_is_named(self, tmp_path):
        run = sampling(batch=2)
        run.network.spread = math.nan
        with pytest.raises(ValueError, match="score sampling, 8 steps: samples of images 0 to 1 are not finite"):
            measure(run, [EIGHT], tmp_path / "images.jsonl")


def test_mean_error_tells_a_good_network_from_a_blind_one():
    assert mean_error(Oracle(SPREAD), telling(), 10) < 3
    blind = PoseNetwork(PoseConfig(16, (8,), (1,), 2, 8, 8)).eval()  # its last layer begins at 0
    assert mean_error(blind, RenderedImages(["cube"], 30, SYMMETRIES), 3) == pytest.approx(40.7, abs=4)  # chance


def test_the_shipped_network_finds_rotations():
    """Its card tells .7 degrees; what knows nothing is some 50 degrees off."""
    network, _ = load_pose_network(MODEL)
    names = read_pose_description(MODEL)["card"]["data"]["solids"]
    assert mean_error(network, RenderedImages(names, 20, SYMMETRIES, first=10**9), steps=20, samples=2) < 3

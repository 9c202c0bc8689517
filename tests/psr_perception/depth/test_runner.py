"""The runner: what a frame follows from, and what a bad calibration costs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from psr_core.steering import Steering
from psr_perception.depth.calibration import Calibration
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.metric import MetricSettings, SparseDepth
from psr_perception.depth.runner import DepthRequest, DepthRunner, checkpoint_id
from psr_perception.depth.settings import DepthSettings
from tests.tiny_pipelines import tiny_marigold

HEIGHT, WIDTH = 32, 48
EYE = tuple(np.eye(3).ravel())
GOOD = Calibration(WIDTH, HEIGHT, "plumb_bob", (), (40.0, 0, 23.5, 0, 40, 15.5, 0, 0, 1), EYE, (0.0,) * 12)
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SETTINGS = DepthSettings(2, processing_resolution=0)
REQUEST = DepthRequest(SETTINGS, metric=MetricSettings("parameters", 2.0, 1.0))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_marigold(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return load_depth_pipeline(checkpoint)


@pytest.fixture
def runner(pipeline):
    return DepthRunner(DepthEstimator(pipeline), "tiny")


def step(runner, stamp=0, request=REQUEST, calibration=GOOD, session=0):
    return runner.step(IMAGE, calibration, stamp, "camera", request, session)


class TestFrames:
    def test_are_the_estimators_bit_for_bit_and_metric_beside(self, runner, pipeline):
        frame = step(runner, request=replace(REQUEST, steering=Steering(k=1.3, sigma=10)))
        bare = DepthEstimator(pipeline).estimate(IMAGE, SETTINGS, Steering(k=1.3, sigma=10), 0)
        assert np.array_equal(frame.estimate.relative, bare.relative)
        np.testing.assert_allclose(frame.metric.depth, 2 * bare.relative + 1, rtol=1e-6)
        np.testing.assert_allclose(frame.points[:, :, 2], frame.metric.depth, rtol=1e-6)
        assert frame.problem == ""
        assert frame.inference > 0

    def test_of_fixed_noise_stand_still_and_of_stamped_noise_do_not(self, runner):
        stamped = replace(REQUEST, noise="stamp")
        fixed = [step(runner, stamp).estimate.relative for stamp in (5, 6)]
        differing = [step(runner, stamp, stamped) for stamp in (7, 8)]
        assert np.array_equal(*fixed)
        assert not np.array_equal(*(frame.estimate.relative for frame in differing))
        assert [frame.frame_seed for frame in differing] == [7, 8]
        assert np.array_equal(step(runner, 8, stamped).estimate.relative, differing[1].estimate.relative)

    @pytest.mark.parametrize(("stamp", "session", "anew"), [(2, 0, False), (2, 1, True), (0, 0, True)])
    def test_with_a_warm_start_begin_anew_with_a_session_or_when_time_goes_back(self, runner, stamp, session, anew):
        warm = replace(REQUEST, settings=replace(SETTINGS, warm_start=0.5))
        first = step(runner, 1, warm).estimate.relative
        second = step(runner, stamp, warm, session=session).estimate.relative
        assert np.array_equal(first, second) == anew

    def test_of_the_processed_size_have_a_camera_of_that_size(self, runner):
        small = replace(SETTINGS, processing_resolution=24, match_input_resolution=False)
        frame = step(runner, request=replace(REQUEST, settings=small))
        assert frame.metric.depth.shape == (frame.camera.height, frame.camera.width) == (16, 24)
        np.testing.assert_allclose(frame.camera.k, GOOD.camera(IMAGE.shape).resized(24, 16).k)

    def test_are_fitted_to_sparse_depth_that_came_in(self, runner):
        truth = 3 * step(runner).estimate.relative + 0.5
        rows, columns = np.mgrid[:HEIGHT:3, :WIDTH:3].reshape(2, -1)
        points = np.column_stack([rows, columns, truth[rows, columns]])
        runner.sparse.add(SparseDepth(0, "camera", lambda camera: points))
        frame = step(runner, request=replace(REQUEST, metric=MetricSettings("depth")))
        np.testing.assert_allclose(frame.metric.depth, truth, rtol=1e-4)

    def test_are_fitted_to_the_sparse_depth_of_their_moment_though_newer_ones_came_meanwhile(self, runner, monkeypatch):
        relative = step(runner).estimate.relative
        rows, columns = np.mgrid[:HEIGHT:3, :WIDTH:3].reshape(2, -1)
        right = np.column_stack([rows, columns, 3 * relative[rows, columns] + 0.5])
        wrong = right * (1, 1, 2)
        runner.sparse.add(SparseDepth(0, "camera", lambda camera: right))
        estimate = runner.estimator.estimate

        def slow_estimate(*arguments):
            for stamp in range(1, 50):
                runner.sparse.add(SparseDepth(stamp * 10**7, "camera", lambda camera: wrong))
            return estimate(*arguments)

        monkeypatch.setattr(runner.estimator, "estimate", slow_estimate)
        frame = step(runner, request=replace(REQUEST, metric=MetricSettings("depth")))
        assert frame.metric.scale == pytest.approx(3, rel=1e-4)

    def test_are_of_the_rectified_image(self, runner, pipeline):
        bent = replace(GOOD, d=(-0.3, 0.1, 0.0, 0.0, 0.0))
        frame = step(runner, request=replace(REQUEST, rectify=True), calibration=bent)
        assert not np.array_equal(frame.image_rgb, IMAGE)
        bare = DepthEstimator(pipeline).estimate(frame.image_rgb, SETTINGS, Steering(), 0)
        assert np.array_equal(frame.estimate.relative, bare.relative)


class TestProblems:
    def test_a_calibration_of_no_use_costs_the_metric_depth_only(self, runner):
        frame = step(runner, calibration=replace(GOOD, k=(0.0,) * 9))
        assert frame.estimate.relative.shape == (HEIGHT, WIDTH)
        assert (frame.metric.depth, frame.points, frame.camera) == (None, None, None)
        assert "focal lengths fx = 0" in frame.problem

    def test_nothing_can_be_rectified_by_it(self, runner):
        with pytest.raises(ValueError, match="focal lengths fx = 0"):
            step(runner, request=replace(REQUEST, rectify=True), calibration=replace(GOOD, k=(0.0,) * 9))

    def test_settings_are_checked_before_and_by_the_warm_up(self, runner):
        impossible = DepthRequest(DepthSettings(1001))
        for refuse in (runner.check, runner.warm_up):
            with pytest.raises(ValueError, match="num_inference_steps is 1001, expected at most"):
                refuse(impossible)
        runner.warm_up(REQUEST)

    def test_a_warm_up_leaves_no_trace(self, runner):
        warm = replace(REQUEST, settings=replace(SETTINGS, warm_start=0.5))
        runner.warm_up(warm)
        assert np.array_equal(step(runner, request=warm).estimate.relative, step(runner).estimate.relative)


class TestCheckpointId:
    def test_is_the_folders_name_and_follows_the_network(self, checkpoint, tmp_path):
        other = tiny_marigold(tmp_path / "tiny")
        same = checkpoint_id(checkpoint)
        assert same.startswith("tiny@") and len(same) == len("tiny@") + 12
        assert checkpoint_id(other) == same
        (other / "scheduler" / "scheduler_config.json").write_text(json.dumps({}))
        assert checkpoint_id(other) == same
        weights = next((other / "unet").glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        assert checkpoint_id(other) != same

    def test_of_a_hub_id_is_that_id(self):
        assert checkpoint_id("prs-eth/marigold-depth-v1-1") == "prs-eth/marigold-depth-v1-1"

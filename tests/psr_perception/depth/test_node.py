"""The depth node on a real graph, with a camera made of publishers and a tiny Marigold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_perception.depth import node as depth_node  # noqa: E402
from psr_perception.depth.camera import Camera  # noqa: E402
from psr_perception.depth.estimator import DepthEstimator  # noqa: E402
from psr_perception.depth.loading import load_depth_pipeline  # noqa: E402
from psr_perception.depth.node import DepthNode  # noqa: E402
from psr_perception.depth.outputs import TOPICS  # noqa: E402
from psr_perception.depth.settings import DepthSettings  # noqa: E402
from psr_ros.images import from_image, to_image  # noqa: E402
from psr_ros.lifecycle import ERROR, OK, WARN  # noqa: E402
from psr_ros.messages import duration_to_seconds, steering_from_message, time_to_nanoseconds  # noqa: E402
from psr_ros.point_clouds import cloud_positions, to_cloud  # noqa: E402
from tests.psr_perception import node_behaviour  # noqa: E402
from tests.psr_perception.depth.camera_robot import Robot, camera_info  # noqa: E402
from tests.psr_perception.node_behaviour import (  # noqa: E402
    check_descriptions,
    check_process,
    check_refusals,
    check_unconfigured,
)
from tests.psr_perception.robot import (  # noqa: E402
    FRAME,
    HEIGHT,
    WIDTH,
    Gate,
    ask,
    hear,
    parameters,
    picture,
    stamp_of,
    stamped,
)
from tests.psr_ros.graph import ros_graph  # noqa: E402
from tests.tiny_pipelines import tiny_marigold  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
STEPS = 2
SHARP = Steering(k=1.3, sigma=10.0)
FIT = {"metric_source": "depth"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tiny_marigold(tmp_path_factory.mktemp("weights") / "tiny")
    scheduler = folder / "scheduler" / "scheduler_config.json"  # with trailing steps, few of them raise no warning
    scheduler.write_text(json.dumps({**json.loads(scheduler.read_text()), "timestep_spacing": "trailing"}))
    return folder


@pytest.fixture(scope="module")
def estimator(checkpoint):
    return DepthEstimator(load_depth_pipeline(checkpoint))


@pytest.fixture
def setup(ros_domain, checkpoint):
    """setup(listens=topics, **values of parameters) -> graph, node, robot; active, connected unless told otherwise."""
    with ros_graph() as graph:

        def setup(wait=True, listens=("depth_relative", "info"), robot_reliability="reliable", **values):
            given = {"checkpoint": str(checkpoint), "num_inference_steps": STEPS, **values}
            robot = graph.add(Robot(listens, robot_reliability))
            node = graph.add(DepthNode(parameter_overrides=parameters(given)))
            if wait:
                graph.until(lambda: node.state == "active")
                connect(graph, node, robot)
            return graph, node, robot

        yield setup


def connect(graph, node, robot):
    """Until the node hears all that it should, and the robot all that it listens to."""
    sparse = depth_node.SPARSE.get(node.parameter("metric_source"))
    topics = {"image", "camera_info", *([sparse[0]] if sparse else [])}
    graph.until(lambda: set(node._inputs) == topics and node._wanted() >= set(robot.ears))
    publishers = [getattr(robot, "info" if topic == "camera_info" else topic) for topic in topics]
    graph.until(lambda: all(each.get_subscription_count() for each in publishers))
    graph.until(lambda: all(each.get_publisher_count() for each in [*node._inputs.values(), *robot.ears.values()]))


@pytest.fixture(name="connect")
def _connect():
    return connect


@pytest.fixture
def gate(monkeypatch):
    return Gate(monkeypatch, depth_node)


def direct(estimator, number, steering=None, **settings):
    """What the bare estimator makes of picture(number)."""
    settings = DepthSettings(**{"num_inference_steps": STEPS, "processing_resolution": 0, **settings})
    return estimator.estimate(picture(number), settings, steering or Steering(), 0)


class TestMaps:
    def test_are_the_bare_estimators_bit_for_bit_and_say_how_they_were_made(self, setup, estimator):
        graph, _, robot = setup()
        for number in (1, 2):
            robot.show(number)
            info = hear(graph, robot, count=number)
            graph.until(lambda number=number: len(robot.heard["depth_relative"]) == number)
            image = robot.heard["depth_relative"][-1]
            assert np.array_equal(from_image(image), direct(estimator, number).relative)
            assert image.encoding == "32FC1"
            assert image.header == info.header
            assert (time_to_nanoseconds(info.header.stamp), info.header.frame_id) == (stamp_of(number), FRAME)
        assert info.checkpoint.startswith("tiny@")
        assert steering_from_message(info.steering) == Steering()
        assert (info.num_inference_steps, info.ensemble_size, info.processing_resolution) == (STEPS, 1, 0)
        assert (info.metric, info.metric_source, info.problem) == (False, "none", "")
        assert 0 < duration_to_seconds(info.inference) < duration_to_seconds(info.latency) < 60

    def test_of_an_ensemble_come_with_their_uncertainty(self, setup, estimator):
        graph, _, robot = setup(listens=("depth_relative", "uncertainty"), ensemble_size=3, uncertainty=True)
        robot.show(1)
        image = hear(graph, robot, "uncertainty")
        expected = direct(estimator, 1, ensemble_size=3, uncertainty=True)
        assert np.array_equal(from_image(image), expected.uncertainty)
        assert np.array_equal(from_image(hear(graph, robot, "depth_relative")), expected.relative)

    def test_in_colours_are_an_image_for_people(self, setup):
        graph, _, robot = setup(listens=("debug",))
        robot.show(1)
        image = hear(graph, robot, "debug")
        assert (image.encoding, image.height, image.width) == ("rgb8", HEIGHT, WIDTH)
        assert len(np.unique(from_image(image).reshape(-1, 3), axis=0)) > 10

    def test_of_the_processed_size_have_a_camera_info_of_that_size(self, setup):
        listens = ("depth_relative", "camera_info", "depth")
        metric = {"metric_source": "parameters", "scale": 2.0, "shift": 1.0}
        graph, _, robot = setup(listens=listens, processing_resolution=24, output_size="processing", **metric)
        robot.show(1)
        info = hear(graph, robot, "camera_info")
        original = camera_info()
        camera = Camera.from_camera_info(WIDTH, HEIGHT, original.k, original.p).resized(24, 16)
        assert (info.width, info.height) == (24, 16)
        np.testing.assert_allclose(info.k, camera.k.ravel())
        np.testing.assert_allclose(info.p, camera.p.ravel())
        for topic in ("depth_relative", "depth"):
            image = hear(graph, robot, topic)
            assert from_image(image).shape == (16, 24)
            assert image.header == info.header

    def test_with_warm_start_follow_from_the_last_frame_until_the_node_is_activated_anew(self, setup):
        graph, node, robot = setup(warm_start=0.5)
        for count, number in enumerate((1, 1, 1), start=1):
            if count == 3:
                node.trigger_deactivate()
                node.trigger_activate()
                connect(graph, node, robot)
            robot.show(number)
            hear(graph, robot, "depth_relative", count)
        first, second, third = (from_image(image) for image in robot.heard["depth_relative"])
        assert not np.array_equal(first, second)
        assert np.array_equal(first, third)


class TestSteering:
    def test_turned_live_is_in_the_next_frame(self, setup, estimator):
        graph, _, robot = setup()
        robot.show(1)
        hear(graph, robot, "depth_relative")
        assert ask(graph, robot, steering__k=1.3, steering__sigma=10.0).successful
        robot.show(2)
        assert np.array_equal(from_image(hear(graph, robot, "depth_relative", 2)), direct(estimator, 2, SHARP).relative)
        assert steering_from_message(hear(graph, robot, "info", 2).steering) == SHARP

    def test_turned_while_a_frame_waits_is_in_that_frame(self, setup, gate):
        graph, node, robot = setup()
        robot.show(1)
        graph.until(lambda: gate.begun)
        robot.show(2)
        graph.until(lambda: node._worker._waiting)
        assert ask(graph, robot, steering__k=2.0).successful
        gate.open(2)
        assert steering_from_message(hear(graph, robot, count=2).steering).k == 2

    def test_other_settings_are_live_too(self, setup, estimator):
        graph, _, robot = setup(listens=("depth_relative", "uncertainty", "info"))
        changes = {
            "num_inference_steps": 3,
            "ensemble_size": 3,
            "uncertainty": True,
            "processing_resolution": 24,
            "seed": 7,
        }
        assert ask(graph, robot, **changes).successful
        robot.show(1)
        expected = direct(estimator, 1, **changes)
        assert np.array_equal(from_image(hear(graph, robot, "depth_relative")), expected.relative)
        assert np.array_equal(from_image(hear(graph, robot, "uncertainty")), expected.uncertainty)
        info = hear(graph, robot)
        assert (info.num_inference_steps, info.ensemble_size, info.processing_resolution, info.seed) == (3, 3, 24, 7)

    REFUSED = (
        ({"steering__method": "nns"}, "DDIMScheduler cannot take steering.method 'nns'"),
        ({"uncertainty": True}, "ensemble_size is 1; use 2 or more"),
        ({"processing_resolution": 33}, "processing_resolution is 33, expected .* a multiple of 2"),
        ({"num_inference_steps": 1001}, "out of range"),
        ({"num_inference_steps": "many"}, "Wrong parameter type"),
        ({"warm_start": 2.0}, "out of range"),
        ({"metric_source": "parameters"}, "scale is 0, expected metres above 0"),
        ({"min_depth": 5.0, "max_depth": 4.0}, "min_depth is 5 and max_depth 4, expected 0 <= min_depth < max"),
        ({"metric_source": "magic"}, "expected one of: none, parameters, depth, points"),
        ({"checkpoint": "elsewhere"}, "deactivate and clean up"),
    )

    def test_or_settings_that_cannot_be_are_refused_and_the_old_ones_stay(self, setup):
        check_refusals(*setup(wait=False), self.REFUSED)

    def test_warnings_are_shown(self, setup):
        graph, node, robot = setup(steering__k=1.3, steering__sigma=0.001, num_inference_steps=10)
        robot.show(1)
        hear(graph, robot)
        node.publish_diagnostics()
        graph.until(lambda: robot.diagnostics and robot.diagnostics[-1].level == WARN)
        assert "psr k=1.3 σ=0.001 does nothing" in robot.diagnostics[-1].message


class TestNewestFrame(node_behaviour.NewestFrame):
    pass


class TestMetric:
    def truth(self, estimator, number):
        return (3.0 * direct(estimator, number).relative.astype(np.float64) + 0.5).astype(np.float32)

    def check(self, graph, robot, estimator, number):
        """Depth as the truth has it, beside a camera_info and points that fit it."""
        depth, info = hear(graph, robot, "depth"), hear(graph, robot)
        np.testing.assert_allclose(from_image(depth), self.truth(estimator, number), rtol=1e-3)
        assert info.metric and not info.problem
        assert (info.scale, info.shift) == (pytest.approx(3, rel=1e-2), pytest.approx(0.5, rel=1e-2))
        assert hear(graph, robot, "camera_info").header == depth.header == info.header
        points = cloud_positions(hear(graph, robot, "points")).reshape(HEIGHT, WIDTH, 3)
        camera = Camera.from_camera_info(WIDTH, HEIGHT, camera_info().k, camera_info().p)
        np.testing.assert_allclose(points, camera.backproject(from_image(depth)), rtol=1e-5)
        return info

    LISTENS = ("depth", "camera_info", "points", "info")

    def test_from_parameters_turned_live(self, setup, estimator):
        graph, _, robot = setup(listens=self.LISTENS)
        robot.show(1)
        assert hear(graph, robot).metric is False
        assert ask(graph, robot, metric_source="parameters", scale=3.0, shift=0.5).successful
        robot.show(2)
        hear(graph, robot, "info", 2)
        assert self.check(graph, robot, estimator, 2).points == 0
        assert len(robot.heard["depth"]) == 1

    @pytest.mark.parametrize("unit", ["32FC1", "16UC1"])
    def test_from_a_sparse_depth_image(self, setup, estimator, unit):
        graph, node, robot = setup(listens=self.LISTENS, **FIT)
        sparse = np.where(np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.2, self.truth(estimator, 1), 0)
        pixels = sparse.astype(np.float32) if unit == "32FC1" else np.rint(sparse * 1000).astype(np.uint16)
        robot.sparse_depth.publish(stamped(to_image(pixels, unit), 1))
        graph.until(lambda: node._runner.sparse._kept)
        robot.show(1)
        info = self.check(graph, robot, estimator, 1)
        assert (info.points, info.inliers, info.is_good) == (np.count_nonzero(sparse), np.count_nonzero(sparse), True)
        robot.diagnostics.clear()  # of before the frame
        node.publish_diagnostics()
        graph.until(lambda: robot.diagnostics and "inliers" in {pair.key for pair in robot.diagnostics[-1].values})
        assert (robot.diagnostics[-1].level, robot.diagnostics[-1].message) == (OK, "estimating")
        values = {pair.key: pair.value for pair in robot.diagnostics[-1].values}
        assert (values["inliers"], values["is_good"]) == (f"{info.points} of {info.points}", "true")

    def test_from_some_of_the_points_of_a_cloud(self, setup, estimator):
        graph, node, robot = setup(listens=self.LISTENS, metric_source="points", sparse_points=100)
        camera = Camera.from_camera_info(WIDTH, HEIGHT, camera_info().k, camera_info().p)
        points = camera.backproject(self.truth(estimator, 1))
        robot.sparse_points.publish(stamped(to_cloud(points, picture(0), Header()), 1))
        graph.until(lambda: node._runner.sparse._kept)
        robot.show(1)
        assert self.check(graph, robot, estimator, 1).points == 100

    def test_is_nan_outside_the_limits_and_finite_elsewhere(self, setup, estimator):
        truth = self.truth(estimator, 1)
        low, high = (float(each) for each in np.percentile(truth, [20, 80]))
        metric = {"metric_source": "parameters", "scale": 3.0, "shift": 0.5, "min_depth": low, "max_depth": high}
        graph, _, robot = setup(listens=("depth",), **metric)
        robot.show(1)
        depth = from_image(hear(graph, robot, "depth"))
        inside = (truth >= low) & (truth <= high)
        assert np.array_equal(np.isfinite(depth), inside)
        assert not inside.all()

    @pytest.mark.parametrize(
        ("kind", "frame", "complaint"),
        [
            ("missing", FRAME, "no sparse depth has come yet"),
            ("good", "lidar", f"in frame 'lidar', the image in '{FRAME}'"),
            ("coloured", FRAME, "encoding 'mono8', expected 32FC1 .metres. or 16UC1"),
            ("noise", FRAME, "points agree with the fit"),
            ("invalid", FRAME, "no valid points: none lies inside the image"),
        ],
    )
    def test_that_cannot_be_is_not_published_and_the_reason_is_told(self, setup, estimator, kind, frame, complaint):
        graph, node, robot = setup(listens=("depth", "depth_relative", "info"), **FIT)
        kept = node._runner.sparse._kept
        if kind != "missing":
            truth = self.truth(estimator, 1)
            noise = np.exp(np.random.default_rng(0).uniform(-3, 3, truth.shape)).astype(np.float32)
            pixels = {
                "good": truth,
                "coloured": picture(0)[:, :, 0],
                "noise": truth * noise,
                "invalid": truth * np.nan,
            }[kind]
            message = to_image(pixels, "mono8" if kind == "coloured" else "32FC1")
            robot.sparse_depth.publish(stamped(message, 1, frame))
            graph.until(lambda: kept)
        robot.show(1)
        info = hear(graph, robot)
        assert hear(graph, robot, "depth_relative")
        assert re.search(complaint, info.problem), info.problem
        assert not info.metric and not robot.heard["depth"]
        assert node.status().level == ERROR
        assert info.problem in node.status().message
        good = self.truth(estimator, 2)
        robot.sparse_depth.publish(stamped(to_image(good, "32FC1"), 2))
        graph.until(lambda: kept and kept[-1].stamp == stamp_of(2))
        robot.show(2)
        np.testing.assert_allclose(from_image(hear(graph, robot, "depth")), good, rtol=1e-3)
        assert node.status().level == OK


class TestBadInput(node_behaviour.BadImages):
    """The node says what is wrong, stays up, and goes on with the next good image."""

    @pytest.mark.parametrize(
        ("info", "complaint"),
        [
            (camera_info(k=np.zeros(9), p=np.zeros(12)), "k has focal lengths fx = 0 and fy = 0"),
            (camera_info(p=np.full(12, np.nan)), "camera_info: p is"),
            (camera_info(height=48, width=64), "the image has 48 x 32 pixels, its camera_info is for 64 x 48"),
        ],
    )
    def test_camera_info_costs_the_metric_depth_only(self, setup, info, complaint):
        graph, node, robot = setup(
            listens=("depth_relative", "depth", "camera_info", "info"), metric_source="parameters", scale=1.0, shift=1.0
        )
        robot.show(1, info=info)
        assert complaint in hear(graph, robot).problem
        hear(graph, robot, "depth_relative")
        assert node.status().level == ERROR
        assert complaint in node.status().message
        assert not robot.heard["depth"] and not robot.heard["camera_info"]
        robot.show(2)
        hear(graph, robot, "depth")
        assert node.status().level == OK

    def test_rows_may_be_padded_and_colours_swapped(self, setup, estimator):
        graph, _, robot = setup()
        message = to_image(np.ascontiguousarray(picture(1)[:, :, ::-1]), "bgr8")
        rows = np.frombuffer(message.data, np.uint8).reshape(HEIGHT, -1)
        message.data = np.pad(rows, ((0, 0), (0, 5)), constant_values=255).tobytes()
        message.step += 5
        robot.show(1, message)
        assert np.array_equal(from_image(hear(graph, robot, "depth_relative")), direct(estimator, 1).relative)

    def test_stamps_that_never_agree(self, setup):
        graph, node, robot = setup()
        for number in range(3):
            robot.image.publish(stamped(to_image(picture(number), "rgb8"), 2 * number))
            robot.info.publish(stamped(camera_info(), 2 * number + 1))
            graph.until(lambda number=number: node._pairs._unpaired == [number + 1, number + 1])
        assert node.status().level == ERROR
        assert "image and camera_info never have the same stamp" in node.status().message
        robot.show(9)
        hear(graph, robot)
        assert node.status().level == OK

    def test_a_fault_in_the_networks(self, setup, monkeypatch):
        graph, node, robot = setup()

        def full(*_, **__):
            raise RuntimeError("out of memory")

        with monkeypatch.context() as patch:
            patch.setattr(node._runner.estimator, "estimate", full)
            robot.show(1)
            graph.until(lambda: node.status().level == ERROR)
        assert "no depth: out of memory (RuntimeError)" in node.status().message
        robot.show(2)
        hear(graph, robot)
        assert node.status().level == OK


class TestConfigure:
    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ({"checkpoint": ""}, "cannot configure: checkpoint is empty; give the folder"),
            ({"checkpoint": "/nowhere"}, "cannot configure: checkpoint folder /nowhere does not exist"),
            ({"device": "abacus"}, "device is 'abacus', expected cpu, cuda or cuda:<number>"),
            ({"dtype": "float16"}, "dtype is float16 and device is cpu"),
            ({"processing_resolution": 33}, "processing_resolution is 33, expected 0"),
            ({"uncertainty": True}, "ensemble_size is 1; use 2 or more"),
            ({"steering__method": "nns"}, "cannot configure: DDIMScheduler cannot take steering.method 'nns'"),
            ({"metric_source": "parameters"}, "scale is 0, expected metres above 0"),
        ],
    )
    def test_says_what_is_wrong_and_stays_unconfigured(self, setup, given, complaint):
        check_unconfigured(*setup(wait=False, **given), complaint)

    @pytest.mark.parametrize("part", ["unet", "model_index.json"])
    def test_a_checkpoint_without_a_part_and_goes_on_once_it_is_whole(self, setup, checkpoint, tmp_path, part):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        shutil.rmtree(broken / part) if part == "unet" else (broken / part).unlink()
        graph, node, robot = setup(wait=False, checkpoint=str(broken))
        graph.until(lambda: node.last_error)
        assert part in node.last_error
        assert node.set_parameters([Parameter("checkpoint", value=str(checkpoint))])[0].successful
        node.trigger_configure()
        node.trigger_activate()
        connect(graph, node, robot)
        robot.show(1)
        hear(graph, robot)


def test_every_parameter_explains_itself(setup):
    _, node, _ = setup(wait=False, autostart=False)
    check_descriptions(node, 25)


def test_every_output_can_be_listened_to_at_once(setup):
    graph, _, robot = setup(
        listens=tuple(TOPICS), ensemble_size=2, uncertainty=True, metric_source="parameters", scale=1.0, shift=1.0
    )
    robot.show(1)
    graph.until(lambda: all(robot.heard.values()))
    assert {time_to_nanoseconds(messages[0].header.stamp) for messages in robot.heard.values()} == {stamp_of(1)}


def test_the_process_ends_cleanly_on_sigterm(ros_domain, checkpoint):
    values = {"checkpoint": checkpoint, "steering.k": 2, "num_inference_steps": 2}
    check_process("psr_perception.depth.node", values, "psr k=2 σ=1")

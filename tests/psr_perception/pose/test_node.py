"""The pose node on a real graph, with a camera made of publishers and a tiny network."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import RegionOfInterest  # noqa: E402

from psr_core import so3  # noqa: E402
from psr_core.steering import Steering  # noqa: E402
from psr_perception.pose import node as pose_node  # noqa: E402
from psr_perception.pose.checkpoint import load_pose_network, save_pose_network  # noqa: E402
from psr_perception.pose.estimator import PoseEstimator  # noqa: E402
from psr_perception.pose.node import PoseNode  # noqa: E402
from psr_perception.pose.outputs import TOPICS  # noqa: E402
from psr_perception.pose.region import Region, square_picture  # noqa: E402
from psr_perception.pose.settings import PoseSettings  # noqa: E402
from psr_perception.pose.symmetry import named_symmetry  # noqa: E402
from psr_ros.images import from_image  # noqa: E402
from psr_ros.lifecycle import ERROR, OK, WARN  # noqa: E402
from psr_ros.messages import duration_to_seconds, steering_from_message  # noqa: E402
from tests.psr_perception import node_behaviour  # noqa: E402
from tests.psr_perception.node_behaviour import (  # noqa: E402
    check_descriptions,
    check_process,
    check_refusals,
    check_unconfigured,
)
from tests.psr_perception.pose.small_networks import random_network  # noqa: E402
from tests.psr_perception.robot import (  # noqa: E402
    FRAME,
    Gate,
    Robot,
    ask,
    hear,
    parameters,
    picture,
    stamp_of,
    stamps,
)
from tests.psr_ros.graph import ros_graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
CUBE = named_symmetry("cube")
CAP = Steering(cap=True)  # what the node has unless told otherwise
# Of a cube no two rotations are further apart than 63 degrees: one mode whatever the network says.
FEW = {"num_inference_steps": 3, "eta": 0.0, "samples": 20, "mode_angle": 70.0}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    save_pose_network(folder, random_network(), {})
    return folder


@pytest.fixture(scope="module")
def estimator(checkpoint):
    return PoseEstimator(load_pose_network(checkpoint)[0], CUBE)


@pytest.fixture
def setup(ros_domain, checkpoint):
    """setup(listens=topics, **values of parameters) -> graph, node, robot; active, connected unless told otherwise."""
    with ros_graph() as graph:

        def setup(wait=True, listens=("samples", "info"), robot_reliability="reliable", **values):
            given = {"checkpoint": str(checkpoint), "symmetry": "cube", **FEW, **values}
            robot = graph.add(Robot("pose", TOPICS, listens, robot_reliability))
            robot.region = robot.create_publisher(RegionOfInterest, "/region", robot.profile)
            node = graph.add(PoseNode(parameter_overrides=parameters(given)))
            if wait:
                graph.until(lambda: node.state == "active")
                connect(graph, node, robot)
            return graph, node, robot

        yield setup


def connect(graph, node, robot):
    """Until the node hears all that it should, and the robot all that it listens to."""
    graph.until(lambda: set(node._inputs) == {"image"} and node._wanted() >= set(robot.ears))
    graph.until(lambda: robot.image.get_subscription_count() and robot.region.get_subscription_count())
    ears = [*node._inputs.values(), node._regions, *robot.ears.values()]
    graph.until(lambda: all(each.get_publisher_count() for each in ears))


@pytest.fixture(name="connect")
def _connect():
    return connect


@pytest.fixture
def gate(monkeypatch):
    return Gate(monkeypatch, pose_node)


def direct(estimator, number, steering=CAP, region=None, frame_seed=0, **settings):
    """What the bare estimator makes of picture(number)."""
    looked_at = square_picture(picture(number), region or Region(), 16)
    return estimator.estimate(looked_at, PoseSettings(**{**FEW, **settings}), steering, frame_seed)


def matrices(poses):
    rows = [[getattr(pose.orientation, name) for name in "xyzw"] for pose in poses]
    return so3.quat_to_matrix(torch.tensor(rows, dtype=torch.float64))


def same(poses, rotations):
    found = matrices(poses)
    return found.shape == rotations.shape and torch.allclose(found, rotations, atol=1e-5)


class TestRotations:
    def test_are_the_bare_estimators_and_say_how_they_were_made(self, setup, estimator):
        graph, _, robot = setup()
        for number in (1, 2):
            robot.show(number)
            info = hear(graph, robot, count=number)
            samples = hear(graph, robot, "samples", number)
            expected = direct(estimator, number)
            assert same(samples.poses, expected.rotations)
            assert same([mode.pose for mode in info.modes], torch.stack([mode.rotation for mode in expected.modes]))
            assert samples.header == info.header
            assert (stamps([info]), info.header.frame_id) == ([stamp_of(number)], FRAME)
        assert info.checkpoint.startswith("tiny@")
        assert steering_from_message(info.steering) == CAP
        assert (info.num_inference_steps, info.samples, info.symmetry, info.problem) == (3, 20, "cube", "")
        assert info.weights.tolist() == [1.0]
        assert 0 < duration_to_seconds(info.inference) < duration_to_seconds(info.latency) < 60

    def test_have_a_steady_pose_that_looks_like_its_mode(self, setup):
        graph, node, robot = setup(listens=("pose", "info"))
        for number in (1, 2):
            robot.show(number)
            pose, info = hear(graph, robot, "pose", number), hear(graph, robot, "info", number)
            mode = info.modes[info.stable]
            shown, found = matrices([pose.pose.pose, mode.pose])
            assert float(CUBE.distance(shown, found)) < 1e-6
            assert pose.pose.covariance.tolist() == mode.covariance.tolist()
            assert pose.pose.covariance[0] == 1e6
        before, after = (matrices([pose.pose.pose])[0] for pose in robot.heard["pose"])
        alike = so3.distance(before, after @ CUBE.elements)
        assert float(so3.distance(before, after)) == pytest.approx(float(alike.min()), abs=1e-6)

    def test_that_do_not_agree_have_none_and_the_reason_is_told(self, setup):
        graph, node, robot = setup(listens=("pose", "info"), symmetry="none", mode_angle=0.01, samples=100)
        robot.show(1)
        problem = "no pose: the samples do not agree to within mode_angle = 0.01 degrees"
        assert hear(graph, robot).problem.startswith(problem)
        assert node.status().level == WARN
        assert node.status().message.startswith(problem)
        assert not robot.heard["pose"]

    def test_follow_the_stamp_where_the_noise_does(self, setup, estimator):
        graph, _, robot = setup(noise="stamp")
        robot.show(1)
        assert hear(graph, robot).frame_seed == stamp_of(1)
        expected = direct(estimator, 1, frame_seed=stamp_of(1)).rotations
        assert same(hear(graph, robot, "samples").poses, expected)

    def test_every_output_can_be_listened_to_at_once(self, setup):
        graph, _, robot = setup(listens=tuple(TOPICS))
        robot.show(1)
        graph.until(lambda: all(robot.heard.values()))
        for topic in set(TOPICS) - {"markers"}:
            assert stamps(robot.heard[topic]) == [stamp_of(1)]


class TestRegion:
    SHOWN = Region(20, 4, 16, 20)

    def seen(self, graph, robot, count):
        return from_image(hear(graph, robot, "debug", count)) / 255

    def expected(self, number, region):
        return pytest.approx(square_picture(picture(number), region, 16), abs=1 / 255)

    def test_comes_from_parameters_turned_live(self, setup):
        graph, _, robot = setup(listens=("debug", "info"))
        robot.show(1)
        assert self.seen(graph, robot, 1) == self.expected(1, Region())
        assert ask(graph, robot, region__x=20, region__y=4, region__width=16, region__height=20).successful
        robot.show(2)
        assert self.seen(graph, robot, 2) == self.expected(2, self.SHOWN)
        region = hear(graph, robot, "info", 2).region
        assert (region.x_offset, region.y_offset, region.width, region.height) == (20, 4, 16, 20)

    def test_of_the_topic_goes_before_parameters_until_it_is_cleared(self, setup):
        graph, node, robot = setup(listens=("debug", "info"), region__width=30, region__height=30)
        for count, message in enumerate(
            (RegionOfInterest(x_offset=20, y_offset=4, width=16, height=20), RegionOfInterest())
        ):
            robot.region.publish(message)
            graph.until(lambda message=message: (node._region is None) == (message.width == 0))
            robot.show(count)
            expected = self.SHOWN if message.width else Region(0, 0, 30, 30)
            assert self.seen(graph, robot, count + 1) == self.expected(count, expected)

    def test_of_the_topic_is_forgotten_when_the_node_is_deactivated(self, setup):
        graph, node, robot = setup()
        robot.region.publish(RegionOfInterest(width=16, height=16))
        graph.until(lambda: node._region)
        node.trigger_deactivate()
        assert node._region is None and node._regions is None

    @pytest.mark.parametrize(
        ("region", "complaint"),
        [
            (RegionOfInterest(width=3, height=20), "region.width is 3 and region.height 20, expected 8 pixels or more"),
            (
                RegionOfInterest(x_offset=500, width=9, height=9),
                "region x 500, y 0, 9 x 9 shows less than 8 x 8 pixels",
            ),
        ],
    )
    def test_that_cannot_be_is_told_and_the_next_good_one_is_looked_at(self, setup, region, complaint):
        graph, node, robot = setup(listens=("debug", "info"))
        robot.region.publish(region)
        graph.until(lambda: node._region)
        robot.show(1)
        graph.until(lambda: node.status().level == ERROR)
        assert f"no rotations: {complaint}" in node.status().message
        robot.region.publish(RegionOfInterest(x_offset=20, y_offset=4, width=16, height=20))
        graph.until(lambda: node._region.height == 20 and node._region.width == 16)
        robot.show(2)
        assert self.seen(graph, robot, 1) == self.expected(2, self.SHOWN)
        assert node.status().level == OK


class TestSteering:
    SHARP = {"steering__k": 7.0, "steering__sigma": 0.5}

    def test_turned_live_is_in_the_next_frame(self, setup, estimator):
        graph, _, robot = setup()
        robot.show(1)
        hear(graph, robot, "samples")
        assert ask(graph, robot, **self.SHARP).successful
        robot.show(2)
        expected = direct(estimator, 2, Steering(k=7.0, sigma=0.5, cap=True))
        assert same(hear(graph, robot, "samples", 2).poses, expected.rotations)
        assert steering_from_message(hear(graph, robot, "info", 2).steering).k == 7

    def test_and_a_region_turned_while_a_frame_waits_are_in_that_frame(self, setup, gate):
        graph, node, robot = setup()
        robot.show(1)
        graph.until(lambda: gate.begun)
        robot.show(2)
        graph.until(lambda: node._worker._waiting)
        assert ask(graph, robot, region__width=16, region__height=16, **self.SHARP).successful
        gate.open(2)
        info = hear(graph, robot, count=2)
        assert (steering_from_message(info.steering).k, info.region.width) == (7, 16)

    def test_other_settings_are_live_too(self, setup, estimator):
        graph, _, robot = setup()
        changes = {"num_inference_steps": 4, "samples": 30, "eta": 0.5, "mode_angle": 80.0, "seed": 7}
        assert ask(graph, robot, **changes).successful
        robot.show(1)
        assert same(hear(graph, robot, "samples").poses, direct(estimator, 1, **changes).rotations)
        info = hear(graph, robot)
        assert (info.num_inference_steps, info.samples, info.eta, info.seed) == (4, 30, 0.5, 7)

    REFUSED = (
        ({"steering__integrator": "gaussian", "steering__cap": False}, "expected 'plain' on rotations"),
        ({"steering__method": "nns"}, "steering.cap limits PSR's factor and needs method 'psr'"),
        ({"steering__method": "nns", "steering__cap": False}, "nns scales injected noise and eta 0 injects none"),
        ({"num_inference_steps": 1001}, "out of range"),
        ({"mode_angle": 0.0}, "mode_angle is 0.0, expected degrees above 0"),
        ({"eta": 2.0}, "out of range"),
        ({"samples": 0}, "out of range"),
        ({"region__width": 16}, "region.width is 16 and region.height 0, expected 8 pixels or more each, or both 0"),
        ({"noise": "loud"}, "expected one of: fixed, stamp"),
        ({"symmetry": "cone"}, "deactivate and clean up"),
    )

    def test_or_settings_that_cannot_be_are_refused_and_the_old_ones_stay(self, setup):
        check_refusals(*setup(wait=False), self.REFUSED)

    def test_that_diverges_is_warned_of(self, setup):
        graph, node, robot = setup(steering__cap=False, steering__k=7.0, steering__sigma=0.5)
        robot.show(1)
        hear(graph, robot)
        assert node.status().level == WARN
        assert "use steering.cap true or num_inference_steps = 50" in node.status().message


class TestNewestFrame(node_behaviour.NewestFrame):
    pass


class TestBadInput(node_behaviour.BadImages):
    """The node says what is wrong, stays up, and goes on with the next good image."""

    def test_rotations_that_are_not_finite_are_never_published(self, setup):
        graph, node, robot = setup(listens=("samples", "pose", "markers", "info"))
        bias = node._runner.estimator._network.head.out.bias
        with torch.no_grad():
            before = bias.clone()
            bias.fill_(math.nan)
        robot.show(1)
        graph.until(lambda: node.status().level == ERROR)
        assert "no rotations: rotations are not finite" in node.status().message
        assert not any(robot.heard.values())
        with torch.no_grad():
            bias.copy_(before)
        robot.show(2)
        hear(graph, robot)
        assert node.status().level == OK


def other_kind(folder):
    (folder / "pose.json").write_text((folder / "pose.json").read_text().replace('"psr pose"', '"psr policy"'))


def no_weights(folder):
    (folder / "pose.safetensors").unlink()


class TestConfigure:
    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ({"checkpoint": ""}, "cannot configure: checkpoint is empty; give the folder"),
            (
                {"checkpoint": "/nowhere"},
                "cannot configure: no pose folder at /nowhere; expected a folder with pose.safe",
            ),
            ({"symmetry": ""}, "cannot configure: symmetry is '', which is no file, nor one of: cone, cube"),
            ({"symmetry": "teapot"}, "cannot configure: symmetry is 'teapot', which is no file"),
            ({"device": "abacus"}, "device is 'abacus', expected cpu, cuda or cuda:<number>"),
            ({"region__height": 9}, "region.width is 0 and region.height 9, expected 8 pixels or more each"),
            ({"steering__cap": False, "steering__method": "nns"}, "cannot configure: steering.method nns scales"),
        ],
    )
    def test_says_what_is_wrong_and_stays_unconfigured(self, setup, given, complaint):
        check_unconfigured(*setup(wait=False, **given), complaint)

    @pytest.mark.parametrize(
        ("damage", "complaint"),
        [(other_kind, "pose.json does not describe a pose"), (no_weights, "broken has no pose.safetensors")],
    )
    def test_a_checkpoint_of_another_kind_or_without_a_part_and_goes_on_with_a_good_one(
        self, setup, checkpoint, tmp_path, damage, complaint
    ):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        damage(broken)
        graph, node, robot = setup(wait=False, checkpoint=str(broken))
        graph.until(lambda: node.last_error)
        assert complaint in node.last_error
        assert node.set_parameters([Parameter("checkpoint", value=str(checkpoint))])[0].successful
        node.trigger_configure()
        node.trigger_activate()
        connect(graph, node, robot)
        robot.show(1)
        hear(graph, robot)

    def test_a_symmetry_that_is_no_group(self, setup, tmp_path):
        path = tmp_path / "part.yaml"
        path.write_text("{name: part, continuous: [0, 0, 1], discrete: [{axis: [1, 0, 0], order: 3}]}")
        graph, node, _ = setup(wait=False, symmetry=str(path))
        graph.until(lambda: node.last_error)
        assert f"cannot configure: {path}: symmetry part: discrete[0] moves the continuous axis" in node.last_error


def test_every_parameter_explains_itself(setup):
    _, node, _ = setup(wait=False, autostart=False)
    check_descriptions(node, 20)


def test_the_process_ends_cleanly_on_sigterm(ros_domain, checkpoint):
    values = {"checkpoint": checkpoint, "symmetry": "cube", "steering.k": 2}
    check_process("psr_perception.pose.node", values, "psr k=2 σ=1 cap")

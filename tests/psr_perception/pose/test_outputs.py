"""The pose node's messages without its node."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("sensor_msgs")

from geometry_msgs.msg import Pose  # noqa: E402
from sensor_msgs.msg import RegionOfInterest  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from psr_core import so3  # noqa: E402
from psr_core.steering import Steering  # noqa: E402
from psr_perception.pose.detections import detections  # noqa: E402
from psr_perception.pose.estimator import PoseEstimate  # noqa: E402
from psr_perception.pose.modes import UNKNOWN, Mode  # noqa: E402
from psr_perception.pose.outputs import TOPICS, frame_messages, mode_pose, region_of  # noqa: E402
from psr_perception.pose.region import Region  # noqa: E402
from psr_perception.pose.runner import PoseFrame, PoseRequest  # noqa: E402
from psr_perception.pose.settings import PoseSettings  # noqa: E402
from psr_ros.images import from_image  # noqa: E402
from psr_ros.messages import steering_from_message  # noqa: E402

HEADER = Header(frame_id="camera")
ROTATIONS = so3.random_rotations((5,), torch.Generator().manual_seed(0), torch.float64)
COVARIANCE = torch.tensor([[4e-4, 1e-5, 0], [1e-5, 9e-4, 0], [0, 0, 3e-4]], dtype=torch.float64)
MODES = [
    Mode(ROTATIONS[0], 0.6, COVARIANCE, torch.arange(3)),
    Mode(ROTATIONS[3], 0.4, COVARIANCE / 4, torch.arange(3, 5)),
]


def frame(**changes):
    """A frame whose steady pose is another form of its second mode."""
    fields = {
        "picture": np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16),
        "estimate": PoseEstimate(ROTATIONS, MODES),
        "stable": 1,
        "rotation": ROTATIONS[4],
        "symmetry": "cube",
        "request": PoseRequest(PoseSettings(30, 0.5, 5, seed=9), Steering(k=2.0), Region(1, 2, 30, 40)),
        "frame_seed": 5,
        "inference": 0.25,
    }
    return PoseFrame(**{**fields, **changes})


STRAYS = {"estimate": PoseEstimate(ROTATIONS, []), "stable": None, "rotation": None}


def messages(shown=None, wanted=tuple(TOPICS)):
    return frame_messages(shown or frame(), HEADER, "tiny@0", wanted, 0.5)


def matrix(pose):
    q = pose.orientation
    return so3.quat_to_matrix(torch.tensor([q.x, q.y, q.z, q.w], dtype=torch.float64))


class TestMessages:
    def test_are_of_the_kind_their_topics_have_with_one_header(self):
        made = messages()
        assert set(made) == set(TOPICS)
        for topic, message in made.items():
            assert isinstance(message, TOPICS[topic])
            if topic != "markers":
                assert message.header == HEADER
        assert list(made)[-1] == "info"  # so that its latency covers the others

    def test_are_made_only_where_wanted(self):
        assert set(messages(wanted={"pose", "info"})) == {"pose", "info"}
        assert messages(wanted=()) == {}

    def test_samples_are_rotations_at_the_origin(self):
        poses = messages()["samples"].poses
        torch.testing.assert_close(torch.stack([matrix(pose) for pose in poses]), ROTATIONS)
        assert all(pose.position == Pose().position for pose in poses)

    def test_pose_is_the_steady_one_with_its_modes_covariance_and_no_position(self):
        pose = messages()["pose"].pose
        torch.testing.assert_close(matrix(pose.pose), ROTATIONS[4])
        covariance = torch.tensor(pose.covariance.tolist(), dtype=torch.float64).reshape(6, 6)
        torch.testing.assert_close(covariance[3:, 3:], COVARIANCE / 4)
        torch.testing.assert_close(covariance[:3, :3], UNKNOWN * torch.eye(3, dtype=torch.float64))

    def test_info_says_all_that_made_them(self):
        info = messages()["info"]
        assert steering_from_message(info.steering) == Steering(k=2.0)
        numbers = info.num_inference_steps, info.eta, info.samples, info.seed, info.frame_seed
        assert numbers == (30, 0.5, 5, 9, 5)
        assert (info.checkpoint, info.symmetry, info.problem, info.stable) == ("tiny@0", "cube", "", 1)
        assert region_of(info.region) == Region(1, 2, 30, 40)
        assert info.inference.nanosec == 250_000_000

    def test_info_has_every_mode(self):
        info = messages()["info"]
        assert info.weights.tolist() == [0.6, 0.4]
        degrees = math.degrees(16e-4**0.5)
        assert info.spreads.tolist() == pytest.approx([degrees, degrees / 2])
        for pose, mode in zip(info.modes, MODES, strict=True):
            torch.testing.assert_close(matrix(pose.pose), mode.rotation)
            assert pose.covariance.reshape(6, 6)[3:, 3:] == pytest.approx(mode.covariance.numpy())

    def test_without_a_mode_there_is_no_pose_and_info_says_why(self):
        made = messages(frame(**STRAYS))
        assert "pose" not in made and len(made["samples"].poses) == 5
        info = made["info"]
        assert (info.stable, len(info.modes), len(info.weights)) == (-1, 0, 0)
        assert "do not agree to within mode_angle = 15 degrees" in info.problem

    def test_debug_is_what_the_network_saw(self):
        image = messages()["debug"]
        assert image.encoding == "mono8"
        np.testing.assert_array_equal(from_image(image), np.rint(np.linspace(0, 255, 256)).reshape(16, 16))


class TestMarkers:
    def test_of_the_steady_pose_are_its_axes(self):
        made = messages()["markers"].markers
        pose = next(marker for marker in made if marker.ns == "pose")
        points = torch.tensor([[p.x, p.y, p.z] for p in pose.points], dtype=torch.float64)
        assert (points[::2] == 0).all()
        torch.testing.assert_close(
            points[1::2], 0.5 * ROTATIONS[4].mT
        )  # its columns are the axes in the camera's frame
        assert [(c.r, c.g, c.b) for c in pose.colors[1::2]] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]

    def test_are_as_visible_as_modes_weigh(self):
        modes = next(marker for marker in messages()["markers"].markers if marker.ns == "modes")
        assert [c.a for c in modes.colors] == pytest.approx([0.6] * 6 + [0.4] * 6)

    def test_hold_an_end_of_every_axis_of_every_sample(self):
        samples = next(marker for marker in messages()["markers"].markers if marker.ns == "samples")
        points = np.array([[p.x, p.y, p.z] for p in samples.points])
        np.testing.assert_allclose(points.reshape(5, 3, 3), 0.5 * ROTATIONS.mT.numpy())
        assert len(samples.colors) == 15

    def test_that_have_nothing_to_show_are_taken_away(self):
        actions = {marker.ns: marker.action for marker in messages(frame(**STRAYS))["markers"].markers}
        assert actions == {"samples": Marker.ADD, "modes": Marker.DELETE, "pose": Marker.DELETE}
        assert {marker.action for marker in messages()["markers"].markers} == {Marker.ADD}

    def test_have_the_images_header_and_a_pose_that_turns_nothing(self):
        for marker in messages()["markers"].markers:
            assert marker.header == HEADER
            assert marker.pose.orientation.w == 1
            assert marker.scale.x > 0


def vision_msgs():
    """A stand-in with the fields of vision_msgs 4.1."""

    @dataclass
    class ObjectHypothesis:
        class_id: str = ""
        score: float = 0.0

    @dataclass
    class ObjectHypothesisWithPose:
        hypothesis: Any = field(default_factory=ObjectHypothesis)
        pose: Any = None

    @dataclass
    class BoundingBox3D:
        center: Any = field(default_factory=Pose)
        size: Any = None

    @dataclass
    class Detection3D:
        header: Any = field(default_factory=Header)
        results: list[Any] = field(default_factory=list)
        bbox: Any = field(default_factory=BoundingBox3D)
        id: str = ""

    @dataclass
    class Detection3DArray:
        header: Any = field(default_factory=Header)
        detections: list[Any] = field(default_factory=list)

    kinds = ObjectHypothesis, ObjectHypothesisWithPose, BoundingBox3D, Detection3D, Detection3DArray
    return SimpleNamespace(**{kind.__name__: kind for kind in kinds})


class TestDetections:
    def made(self, modes=MODES):
        poses = [mode_pose(mode.rotation, mode) for mode in modes]
        stable = poses[-1] if poses else None
        return poses, detections(vision_msgs(), HEADER, "cube", poses, [mode.weight for mode in modes], stable)

    def test_have_one_object_with_the_modes_as_its_hypotheses(self):
        poses, array = self.made()
        (detection,) = array.detections
        assert array.header == detection.header == HEADER
        assert (detection.id, detection.bbox.center) == ("cube", poses[1].pose)
        found = [(each.hypothesis.class_id, each.hypothesis.score, each.pose) for each in detection.results]
        assert found == [("cube", 0.6, poses[0]), ("cube", 0.4, poses[1])]

    def test_without_a_mode_are_empty(self):
        assert self.made([])[1].detections == []

    def test_are_published_where_vision_msgs_is_installed(self):
        try:
            import vision_msgs.msg  # noqa: F401
        except ImportError:
            assert "detections" not in TOPICS
        else:
            assert "detections" in TOPICS


def test_region_is_the_messages_fields():
    message = RegionOfInterest(x_offset=1, y_offset=2, width=30, height=40, do_rectify=True)
    assert region_of(message) == Region(1, 2, 30, 40)

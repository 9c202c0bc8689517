"""The depth node's messages without its node."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("sensor_msgs")

from sensor_msgs.msg import CameraInfo  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_perception.depth.camera import Camera  # noqa: E402
from psr_perception.depth.estimator import DepthEstimate  # noqa: E402
from psr_perception.depth.metric import MetricDepth, MetricSettings  # noqa: E402
from psr_perception.depth.outputs import (  # noqa: E402
    COLORMAPS,
    TOPICS,
    calibration_of,
    frame_messages,
    near_is_warm,
    sparse_points_of,
)
from psr_perception.depth.runner import DepthFrame, DepthRequest  # noqa: E402
from psr_perception.depth.settings import DepthSettings  # noqa: E402
from psr_perception.depth.sparse_fit import SparseFit  # noqa: E402
from psr_ros.images import from_image, to_image  # noqa: E402
from psr_ros.messages import steering_from_message  # noqa: E402
from psr_ros.point_clouds import to_cloud  # noqa: E402

K = [20.0, 0.0, 11.5, 0.0, 20.0, 7.5, 0.0, 0.0, 1.0]
CAMERA = Camera.from_camera_info(24, 16, K, [0.0] * 12)
RELATIVE = np.linspace(0, 1, 24 * 16, dtype=np.float32).reshape(16, 24)
HEADER = Header(frame_id="camera")
INFO = CameraInfo(height=32, width=48, k=np.array(K), distortion_model="plumb_bob", d=[0.1] * 5)


def frame(**changes):
    """A frame of which everything is there; its image has twice the size of its maps."""
    estimate = DepthEstimate(RELATIVE, 0.1 * RELATIVE, torch.zeros(1), torch.zeros(1))
    settings = DepthSettings(3, 2, 24, True, 0.1, 9, match_input_resolution=False)
    fields = {
        "image_rgb": np.full((32, 48, 3), 99, np.uint8),
        "estimate": estimate,
        "metric": MetricDepth(RELATIVE + 1, "", 1.0, 1.0, SparseFit(20, 18, 0.01, 1.0, 1.0)),
        "camera": CAMERA,
        "camera_problem": "",
        "request": DepthRequest(settings, Steering(k=2.0), MetricSettings("depth")),
        "frame_seed": 5,
        "inference": 0.25,
    }
    return DepthFrame(**{**fields, **changes})


def messages(shown=None, wanted=tuple(TOPICS)):
    return frame_messages(shown or frame(), HEADER, INFO, "tiny@0", wanted, "turbo")


class TestMessages:
    def test_are_of_the_kind_their_topics_have_with_one_header(self):
        made = messages()
        assert set(made) == set(TOPICS)
        for topic, message in made.items():
            assert isinstance(message, TOPICS[topic])
            assert message.header == HEADER
        assert list(made)[-1] == "info"  # so that its latency covers the others

    def test_are_made_only_where_wanted(self):
        assert set(messages(wanted={"depth", "info"})) == {"depth", "info"}
        assert messages(wanted=()) == {}

    def test_of_what_is_not_there_are_left_out(self):
        bare = DepthEstimate(RELATIVE, None, torch.zeros(1), torch.zeros(1))
        shown = frame(estimate=bare, metric=MetricDepth(problem="no metric depth: x"), camera=None)
        made = messages(shown)
        assert set(made) == {"depth_relative", "debug", "info"}
        assert (made["info"].metric, made["info"].points, made["info"].problem) == (False, 0, "no metric depth: x")

    def test_hold_the_maps(self):
        made = messages()
        for topic, expected in (("depth_relative", RELATIVE), ("uncertainty", 0.1 * RELATIVE), ("depth", RELATIVE + 1)):
            np.testing.assert_array_equal(from_image(made[topic]), expected)

    def test_camera_info_is_the_images_but_for_the_size(self):
        info = messages()["camera_info"]
        assert (info.height, info.width, info.distortion_model) == (16, 24, "plumb_bob")
        np.testing.assert_array_equal(info.d, INFO.d)
        np.testing.assert_array_equal(info.p, CAMERA.p.ravel())
        assert (INFO.height, INFO.width, INFO.p.any()) == (32, 48, False), "what came in is left as it was"

    def test_info_says_all_that_made_them(self):
        info = messages()["info"]
        assert steering_from_message(info.steering) == Steering(k=2.0)
        numbers = info.num_inference_steps, info.ensemble_size, info.processing_resolution, info.seed, info.frame_seed
        assert numbers == (3, 2, 24, 9, 5)
        assert (info.checkpoint, info.warm_start, info.metric_source, info.metric) == ("tiny@0", 0.1, "depth", True)
        fit = info.scale, info.shift, info.points, info.inliers, info.residual, info.is_good
        assert fit == (1, 1, 20, 18, 0.01, True)
        assert info.inference.nanosec == 250_000_000


class TestSparsePoints:
    def test_of_millimetres_are_metres(self):
        depth = np.zeros((16, 24), np.uint16)
        depth[3, 4] = 1500
        assert sparse_points_of(to_image(depth, "16UC1"), CAMERA).tolist() == [[3, 4, 1.5]]

    def test_of_a_cloud_are_where_the_camera_sees_them(self):
        positions = np.array([[[0, 0, 2], [0.1, 0, 1], [0, 0, -1], [9, 9, 1]]], np.float32)
        cloud = to_cloud(positions, np.zeros((1, 4, 3), np.uint8), HEADER)
        found = sparse_points_of(cloud, CAMERA)
        np.testing.assert_allclose(found, [[7.5, 11.5, 2], [7.5, 13.5, 1]], rtol=1e-6)

    def test_of_another_encoding_are_refused(self):
        with pytest.raises(ValueError, match="encoding 'mono8', expected 32FC1 .metres. or 16UC1"):
            sparse_points_of(to_image(np.zeros((16, 24), np.uint8), "mono8"), CAMERA)


def test_calibration_takes_every_field():
    made = calibration_of(INFO)
    assert (made.width, made.height, made.model, made.d, made.k) == (48, 32, "plumb_bob", (0.1,) * 5, tuple(K))
    assert (made.r, made.p) == ((0.0,) * 9, (0.0,) * 12)


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_near_and_far_have_different_colours_and_the_outside_is_clipped(colormap):
    colours = near_is_warm(np.array([[0, 1], [-1, 2]], np.float32), colormap)
    assert colours.shape == (2, 2, 3)
    assert not np.array_equal(colours[0, 0], colours[0, 1])
    np.testing.assert_array_equal(colours[0], colours[1])


def test_near_is_warm_in_turbo():
    red, _, blue = near_is_warm(np.array([[0.0]], np.float32), "turbo")[0, 0]
    assert red > blue

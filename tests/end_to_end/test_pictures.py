"""Camera images through the graph: drawn only while wanted, recorded, upright, with depth that fits the calibration."""

import numpy as np
import pytest

from psr_eval.bag_reader import BagReader, decode
from tests.end_to_end.graph import running_graph

pytestmark = pytest.mark.ros


def test_images_of_the_first_episode_only(tmp_path):
    with running_graph(tmp_path, camera_episodes="1") as graph:
        first, second = graph.run(100_000, 2, 12)
    stamps = {}
    for message in BagReader(graph.bag).messages(["sensor_msgs/msg/Image"]):
        image = decode(message)
        pixels = np.asarray(image.data, dtype=np.uint8)
        assert pixels.size == image.height * image.step
        assert pixels.std() > 1
        stamps.setdefault(message.topic, []).append(image.header.stamp.sec * 10**9 + image.header.stamp.nanosec)
    end = first.header.stamp.sec * 10**9 + first.header.stamp.nanosec
    assert len(stamps["/camera/image_raw"]) >= 6  # 12 steps are 0.6 s, at 10 images per second
    assert all(stamp <= end for stamp in stamps["/camera/image_raw"])
    assert second.steps == 12  # it ran, and nobody filmed it

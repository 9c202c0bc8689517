"""The robot of the depth node's tests: a camera, sparse depth, and ears for what comes out."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from psr_perception.depth.outputs import TOPICS
from tests.psr_perception import robot
from tests.psr_perception.robot import HEIGHT, WIDTH, stamped

K = [40.0, 0.0, 23.5, 0.0, 40.0, 15.5, 0.0, 0.0, 1.0]


def camera_info(height=HEIGHT, width=WIDTH, **changes):
    p = np.hstack([np.reshape(K, (3, 3)), np.zeros((3, 1))]).ravel()
    fields = {"distortion_model": "plumb_bob", "d": [0.0] * 5, "k": K, "r": np.eye(3).ravel(), "p": p}
    return CameraInfo(height=height, width=width, **{**fields, **changes})


class Robot(robot.Robot):
    """Publishes what it is told to, and keeps what it hears of `listens` and of the diagnostics."""

    def __init__(self, listens=("depth_relative", "info"), reliability="reliable"):
        super().__init__("depth", TOPICS, listens, reliability)
        self.info = self.create_publisher(CameraInfo, "/camera_info", self.profile)
        self.sparse_depth = self.create_publisher(Image, "/sparse_depth", self.profile)
        self.sparse_points = self.create_publisher(PointCloud2, "/sparse_points", self.profile)

    def show(self, number, message=None, info=None):
        """An image, by default picture(number), and its camera_info, with the stamp of this number."""
        super().show(number, message)
        self.info.publish(stamped(info or camera_info(), number))

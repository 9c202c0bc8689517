"""A robot made of publishers, for the depth node's tests: a camera, sparse depth, and ears for what comes out."""

from __future__ import annotations

from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from psr_perception.depth.outputs import TOPICS
from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.messages import nanoseconds_to_time

HEIGHT, WIDTH = 32, 48
PERIOD = 100_000_000  # ns
FRAME = "camera_optical_frame"
K = [40.0, 0.0, 23.5, 0.0, 40.0, 15.5, 0.0, 0.0, 1.0]


def picture(number, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stamp_of(number):
    return (1000 + number) * PERIOD


def stamped(message, number, frame=FRAME):
    message.header.stamp, message.header.frame_id = nanoseconds_to_time(stamp_of(number)), frame
    return message


def camera_info(height=HEIGHT, width=WIDTH, **changes):
    p = np.hstack([np.reshape(K, (3, 3)), np.zeros((3, 1))]).ravel()
    fields = {"distortion_model": "plumb_bob", "d": [0.0] * 5, "k": K, "r": np.eye(3).ravel(), "p": p}
    return CameraInfo(height=height, width=width, **{**fields, **changes})


class Robot(Node):
    """Publishes what it is told to, and keeps what it hears of `listens` and of the diagnostics."""

    def __init__(self, listens=("depth_relative", "info"), reliability="reliable"):
        super().__init__("robot")
        profile = qos.images(reliability)
        self.image = self.create_publisher(Image, "/image", profile)
        self.info = self.create_publisher(CameraInfo, "/camera_info", profile)
        self.sparse_depth = self.create_publisher(Image, "/sparse_depth", profile)
        self.sparse_points = self.create_publisher(PointCloud2, "/sparse_points", profile)
        self.heard = {topic: [] for topic in TOPICS}
        self.diagnostics = []
        self.client = None  # of the depth node's parameters, made when first needed
        self.ears = {topic: self.listen(topic) for topic in listens}
        self.create_subscription(DiagnosticArray, "/diagnostics", self.hear, 10)

    def listen(self, topic):
        return self.create_subscription(TOPICS[topic], f"/depth/{topic}", partial(self.keep, topic), 20)

    def keep(self, topic, message):
        self.heard[topic].append(message)

    def hear(self, message):
        self.diagnostics += [status for status in message.status if status.name == "depth"]

    def show(self, number, message=None, info=None):
        """An image, by default picture(number), and its camera_info, with the stamp of this number."""
        self.image.publish(stamped(to_image(picture(number), "rgb8") if message is None else message, number))
        self.info.publish(stamped(info or camera_info(), number))

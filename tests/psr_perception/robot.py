"""A robot made of publishers, for the tests of perception nodes: images, and ears for what comes of them."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import Image

from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.messages import nanoseconds_to_time, time_to_nanoseconds

HEIGHT, WIDTH = 32, 48
PERIOD = 100_000_000  # ns
FRAME = "camera_optical_frame"


def picture(number, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stamp_of(number):
    return (1000 + number) * PERIOD


def stamped(message, number, frame=FRAME):
    message.header.stamp, message.header.frame_id = nanoseconds_to_time(stamp_of(number)), frame
    return message


def stamps(messages):
    return [time_to_nanoseconds(message.header.stamp) for message in messages]


class Robot(Node):
    """Publishes images, and keeps what it hears of the node's outputs (`topics`: types by name) that it listens to,
    and of its diagnostics."""

    def __init__(self, node_name, topics, listens, reliability="reliable"):
        super().__init__("robot")
        self.node_name, self.topics = node_name, topics
        self.profile = qos.images(reliability)
        self.image = self.create_publisher(Image, "/image", self.profile)
        self.heard = {topic: [] for topic in topics}
        self.diagnostics = []
        self.client = None  # of the node's parameters, made when first needed
        self.ears = {topic: self.listen(topic) for topic in listens}
        self.create_subscription(DiagnosticArray, "/diagnostics", self.hear, 10)

    def listen(self, topic):
        name = f"/{self.node_name}/{topic}"
        return self.create_subscription(self.topics[topic], name, partial(self.keep, topic), 20)

    def keep(self, topic, message):
        self.heard[topic].append(message)

    def hear(self, message):
        self.diagnostics += [status for status in message.status if status.name == self.node_name]

    def show(self, number, message=None):
        """An image, by default picture(number), with the stamp of this number."""
        self.image.publish(stamped(to_image(picture(number), "rgb8") if message is None else message, number))


def ask(graph, robot, **values):
    """Set parameters together, as another process would; returns the answer."""
    robot.client = robot.client or AsyncParameterClient(robot, robot.node_name)
    client = robot.client
    graph.until(client.services_are_ready)
    return graph.answer(client.set_parameters_atomically(parameters(values))).result


def parameters(values):
    """ROS parameters of names with __ for every dot."""
    return [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]


def hear(graph, robot, topic="info", count=1):
    graph.until(lambda: len(robot.heard[topic]) >= count)
    return robot.heard[topic][-1]


class Gate:
    """Stands in for the work of a node's module: every frame waits until it is let through."""

    def __init__(self, monkeypatch, module):
        self._work, self.begun, self._open = module.work, [], threading.Semaphore(0)
        monkeypatch.setattr(module, "work", self)

    def __call__(self, job):
        self.begun += stamps([job.image])
        assert self._open.acquire(timeout=30)
        return self._work(job)

    def open(self, count=1):
        self._open.release(count)

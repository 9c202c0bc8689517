"""Time for a camera image to get from one process into another, under a given DDS profile.

`python -m psr_ros.transport_bench send|receive` are the two processes; `bench_transport` starts them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, RATE = 640, 480, 30.0
TOPIC = "bench_image"
TRANSPORT_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@dataclass(frozen=True)
class TransportTiming:
    """Milliseconds from filling the message to an array in the other process, and how many images arrived."""

    label: str
    sent: int
    received: int
    p50: float
    p95: float


def bench_transport(
    label: str, settings: Mapping[str, str], images: int = 150, reliability: str = "reliable"
) -> TransportTiming:
    """Sends rgb8 images of 640x480 at 30 Hz between two new processes.

    settings: environment variables of the transport, those of a graph or a part of them; none for the defaults.
    Raises RuntimeError when no image arrives.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in TRANSPORT_VARIABLES}
    environment = {**inherited, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **settings}
    command = [sys.executable, "-m", "psr_ros.transport_bench"]
    arguments = [str(images), reliability]
    receiver = subprocess.Popen([*command, "receive", *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    sender = subprocess.Popen([*command, "send", *arguments], env=environment)
    try:
        output, _ = receiver.communicate(timeout=60 + images / RATE)
        sender.wait(timeout=20)
    finally:
        for process in (receiver, sender):
            process.kill()
            process.wait()
    latencies = json.loads(output or "[]")
    if not latencies:
        raise RuntimeError(f"no image arrived with {label}: check `psr doctor`, and that /dev/shm is writable")
    return TransportTiming(label, images, len(latencies), *(float(q) for q in np.percentile(latencies, [50, 95])))


def _qos(reliability: str):  # type: ignore[no-untyped-def]
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability.upper()])


def _send(node, images: int, reliability: str) -> None:  # type: ignore[no-untyped-def]
    from sensor_msgs.msg import Image

    from psr_ros.images import to_image

    publisher = node.create_publisher(Image, TOPIC, _qos(reliability))
    deadline = time.monotonic() + 20
    while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for _ in range(images):
        now = time.monotonic_ns()
        message = to_image(picture, "rgb8")
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        publisher.publish(message)
        time.sleep(max(0.0, 1 / RATE - (time.monotonic_ns() - now) / 1e9))
    time.sleep(0.5)


def _receive(node, images: int, reliability: str) -> None:  # type: ignore[no-untyped-def]
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    from psr_ros.images import from_image

    latencies: list[float] = []

    def receive(message: Image) -> None:
        from_image(message)
        stamp = message.header.stamp
        latencies.append((time.monotonic_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)

    node.create_subscription(Image, TOPIC, receive, _qos(reliability))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    last, count = time.monotonic() + 20, 0
    while len(latencies) < images and time.monotonic() < last + 2:
        executor.spin_once(timeout_sec=0.2)
        if len(latencies) > count:
            last, count = time.monotonic(), len(latencies)
    executor.shutdown()
    print(json.dumps(latencies))


def main() -> None:
    """Entry point of one of the two processes."""
    import rclpy

    role, images, reliability = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rclpy.init()
    node = rclpy.create_node(f"bench_{role}")
    try:
        {"send": _send, "receive": _receive}[role](node, images, reliability)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

"""What the depth node adds to the bare pipeline: the same image through both, in turns, one process each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture
from psr_interfaces.msg import DepthInfo
from sensor_msgs.msg import CameraInfo, Image

from psr_eval.bench_depth import ASPECT, WARM_UP
from psr_perception.depth.loading import load_depth_pipeline
from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.messages import duration_to_seconds, nanoseconds_to_time
from psr_ros.session import RosSession

START, ANSWER = 90.0, 60.0  # seconds that the node may take to be ready, and for a frame


@dataclass(frozen=True)
class NodeTiming:
    """Milliseconds of n frames (n,): of the bare pipeline; in the node, from an image's arrival to its maps' leaving;
    from sending the image to having its map in another process."""

    resolution: int
    pipeline: tuple[float, ...]
    node: tuple[float, ...]
    round_trip: tuple[float, ...]

    @property
    def overhead(self) -> float:
        """By which share the node's median is longer than the pipeline's."""
        return float(np.median(self.node) / np.median(self.pipeline) - 1)


def bench_depth_node(
    checkpoint: Path | str, environment: Mapping[str, str], resolution: int = 128, repeats: int = 20, threads: int = 1
) -> NodeTiming:
    """Times frames of resolution x 3/4 resolution pixels of noise at ensemble 1; node and pipeline take turns.

    environment: the node's, ROS variables included; this process must have the same ones. Raises RuntimeError when the
    node does not answer, and as load_depth_pipeline.
    """
    torch.set_num_threads(threads)
    pipeline = load_depth_pipeline(checkpoint, "cpu", "float32")
    pipeline.set_progress_bar_config(disable=True)
    shape = round(resolution * ASPECT), resolution, 3
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    parameters = {"checkpoint": str(checkpoint), "threads": threads, "processing_resolution": resolution}
    assignments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "psr_perception.depth.node", "--ros-args", *assignments]
    process = subprocess.Popen(command, env=dict(environment))
    try:
        with RosSession("bench") as session:
            ask = _asker(session, process)
            rows = []
            for turn in range(repeats + WARM_UP):
                begin = time.perf_counter()
                pipeline(Picture.fromarray(pixels), processing_resolution=resolution, ensemble_size=1)
                rows.append((time.perf_counter() - begin, *ask(pixels, turn)))
    finally:
        process.terminate()
        process.wait(20)
    columns = [tuple(1000 * seconds for seconds in column) for column in zip(*rows[WARM_UP:], strict=True)]
    return NodeTiming(resolution, *columns)


def _asker(session: RosSession, process: subprocess.Popen[bytes]) -> Callable[[Any, int], tuple[float, float]]:
    """A function of pixels and a number that shows the node an image and says how long it took: in the node, in all."""
    node = session.node
    images = node.create_publisher(Image, "/image", qos.images())
    calibrations = node.create_publisher(CameraInfo, "/camera_info", qos.images())
    heard: dict[int, DepthInfo] = {}
    maps: dict[int, Image] = {}
    node.create_subscription(DepthInfo, "/depth/info", lambda m: heard.update({m.header.stamp.sec: m}), qos.events())
    node.create_subscription(
        Image, "/depth/depth_relative", lambda m: maps.update({m.header.stamp.sec: m}), qos.images()
    )

    def ready() -> bool:
        return process.poll() is not None or bool(images.get_subscription_count())

    if not session.wait(ready, START) or process.poll() is not None:
        raise RuntimeError(f"the depth node was not ready within {START:g} s; its last words stand above")

    def ask(pixels: Any, number: int) -> tuple[float, float]:
        stamp, (height, width, _) = nanoseconds_to_time((number + 1) * 10**9), pixels.shape
        begin = time.perf_counter()
        image = to_image(pixels, "rgb8")
        focal = [float(width), 0.0, (width - 1) / 2, 0.0, float(width), (height - 1) / 2, 0.0, 0.0, 1.0]
        p = [*focal[:3], 0.0, *focal[3:6], 0.0, *focal[6:], 0.0]
        info = CameraInfo(height=height, width=width, k=focal, p=p, distortion_model="plumb_bob", d=[0.0] * 5)
        for message, publisher in ((image, images), (info, calibrations)):
            message.header.stamp, message.header.frame_id = stamp, "camera"
            publisher.publish(message)
        if not session.wait(lambda: number + 1 in heard and number + 1 in maps, ANSWER):
            raise RuntimeError(f"the depth node did not answer within {ANSWER:g} s; its last words stand above")
        return duration_to_seconds(heard[number + 1].latency), time.perf_counter() - begin

    return ask

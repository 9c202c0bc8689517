"""What the depth node has done for an image, away from the thread that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, Image

from psr_perception.depth.outputs import calibration_of, frame_messages
from psr_perception.depth.runner import DepthFrame, DepthRequest, DepthRunner
from psr_ros.images import rgb_pixels
from psr_ros.messages import time_to_nanoseconds


@dataclass(frozen=True, eq=False)
class Job:
    """One image with all that its maps follow from; arrival: ns of the wall clock."""

    image: Image
    info: CameraInfo
    arrival: int
    session: int
    runner: DepthRunner
    request: Callable[[], DepthRequest]  # asked when the work begins, so that a change is in the very next frame
    wanted: frozenset[str]
    colormap: str


def work(job: Job) -> tuple[DepthFrame, dict[str, Any]]:
    """The maps of an image, and the messages that they make."""
    header = job.image.header
    stamp = time_to_nanoseconds(header.stamp)
    rgb, calibration = rgb_pixels(job.image), calibration_of(job.info)
    frame = job.runner.step(rgb, calibration, stamp, header.frame_id, job.request(), job.session)
    return frame, frame_messages(frame, header, job.info, job.runner.checkpoint, job.wanted, job.colormap)

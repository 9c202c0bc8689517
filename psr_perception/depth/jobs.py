"""What the depth node has done for an image, away from the thread that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo

from psr_perception.depth.outputs import calibration_of, frame_messages
from psr_perception.depth.runner import DepthFrame
from psr_perception.frame_job import FrameJob
from psr_ros.images import rgb_pixels
from psr_ros.messages import time_to_nanoseconds


@dataclass(frozen=True, eq=False)
class DepthJob(FrameJob):
    """One image with its camera_info, and the colours of ~/debug."""

    info: CameraInfo
    colormap: str


def work(job: DepthJob) -> tuple[DepthFrame, dict[str, Any]]:
    """The maps of an image, and the messages that they make."""
    header = job.image.header
    stamp = time_to_nanoseconds(header.stamp)
    rgb, calibration = rgb_pixels(job.image), calibration_of(job.info)
    frame = job.runner.step(rgb, calibration, stamp, header.frame_id, job.request(), job.session)
    return frame, frame_messages(frame, header, job.info, job.runner.checkpoint, job.wanted, job.colormap)

"""What the pose node has done for an image, away from the thread that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psr_perception.frame_job import FrameJob
from psr_perception.pose.outputs import frame_messages
from psr_perception.pose.runner import PoseFrame
from psr_ros.images import rgb_pixels
from psr_ros.messages import time_to_nanoseconds


@dataclass(frozen=True, eq=False)
class PoseJob(FrameJob):
    """One image, and the length of the axes of ~/markers in metres."""

    marker_size: float


def work(job: PoseJob) -> tuple[PoseFrame, dict[str, Any]]:
    """The rotations of an image, and the messages that they make."""
    header = job.image.header
    frame = job.runner.step(rgb_pixels(job.image), time_to_nanoseconds(header.stamp), job.request(), job.session)
    return frame, frame_messages(frame, header, job.runner.checkpoint, job.wanted, job.marker_size)

"""The pose node's messages: the rotations, modes and steady pose of a frame as what goes out."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, PoseArray, PoseWithCovariance, PoseWithCovarianceStamped, Quaternion
from psr_interfaces.msg import PoseInfo
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header
from torch import Tensor
from visualization_msgs.msg import MarkerArray

from psr_core import so3
from psr_perception.pose.detections import VISION_MSGS, detections
from psr_perception.pose.markers import markers
from psr_perception.pose.modes import Mode, pose_covariance
from psr_perception.pose.region import Region
from psr_perception.pose.runner import PoseFrame
from psr_ros.images import to_image
from psr_ros.messages import seconds_to_duration, steering_to_message

TOPICS: dict[str, type[Any]] = {
    "samples": PoseArray,
    "pose": PoseWithCovarianceStamped,
    **({"detections": VISION_MSGS.Detection3DArray} if VISION_MSGS else {}),
    "markers": MarkerArray,
    "debug": Image,
    "info": PoseInfo,
}


def region_of(message: RegionOfInterest) -> Region:
    """Field by field; do_rectify is not looked at. Raises ValueError as Region."""
    return Region(message.x_offset, message.y_offset, message.width, message.height)


def frame_messages(
    frame: PoseFrame, header: Header, checkpoint: str, wanted: Collection[str], marker_size: float
) -> dict[str, Any]:
    """Topic -> message, of those wanted for which there is something to say, all with the image's header.

    marker_size: metres. The latency of the PoseInfo is still 0.
    """
    modes = [mode_pose(mode.rotation, mode) for mode in frame.estimate.modes]
    stable = None if frame.rotation is None or frame.mode is None else mode_pose(frame.rotation, frame.mode)
    weights = [mode.weight for mode in frame.estimate.modes]
    makers = {
        "samples": lambda: PoseArray(header=header, poses=rotation_poses(frame.estimate.rotations)),
        "pose": lambda: stable and PoseWithCovarianceStamped(header=header, pose=stable),
        "detections": lambda: detections(VISION_MSGS, header, frame.symmetry, modes, weights, stable),
        "markers": lambda: markers(frame, header, marker_size),
        "debug": lambda: to_image(np.rint(255 * frame.picture).astype(np.uint8), "mono8", header),
        "info": lambda: _pose_info(frame, header, checkpoint, modes, weights),
    }
    made = {topic: makers[topic]() for topic in makers if topic in wanted}
    return {topic: message for topic, message in made.items() if message is not None}


def rotation_poses(rotations: Tensor) -> list[Pose]:
    """Poses at the origin with rotations (N, 3, 3)."""
    names = "x", "y", "z", "w"
    rows = so3.matrix_to_quat(rotations).tolist()
    return [Pose(orientation=Quaternion(**dict(zip(names, row, strict=True)))) for row in rows]


def mode_pose(rotation: Tensor, mode: Mode) -> PoseWithCovariance:
    """A rotation (3, 3) that stands for a mode, with its covariance; about the position nothing is known."""
    return PoseWithCovariance(pose=rotation_poses(rotation[None])[0], covariance=pose_covariance(mode.covariance))


def _pose_info(
    frame: PoseFrame, header: Header, checkpoint: str, modes: list[PoseWithCovariance], weights: list[float]
) -> PoseInfo:
    request, settings, region = frame.request, frame.request.settings, frame.request.region
    return PoseInfo(
        header=header,
        checkpoint=checkpoint,
        symmetry=frame.symmetry,
        steering=steering_to_message(request.steering),
        num_inference_steps=settings.num_inference_steps,
        eta=settings.eta,
        samples=settings.samples,
        seed=settings.seed,
        frame_seed=frame.frame_seed,
        region=RegionOfInterest(x_offset=region.x, y_offset=region.y, width=region.width, height=region.height),
        modes=modes,
        weights=weights,
        spreads=[math.degrees(mode.spread) for mode in frame.estimate.modes],
        stable=-1 if frame.stable is None else frame.stable,
        problem=frame.problem,
        inference=seconds_to_duration(frame.inference),
    )

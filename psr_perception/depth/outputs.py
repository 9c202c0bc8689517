"""The depth node's messages: what comes in as plain values, and the maps of a frame as what goes out."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from psr_interfaces.msg import DepthInfo
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from psr_perception.depth.calibration import Calibration
from psr_perception.depth.camera import Camera
from psr_perception.depth.metric import sparse_image_points
from psr_perception.depth.runner import DepthFrame
from psr_ros.images import from_image, to_image
from psr_ros.messages import seconds_to_duration, steering_to_message
from psr_ros.point_clouds import cloud_positions, to_cloud

Array = NDArray[Any]
COLORMAPS = ("turbo", "viridis", "magma", "inferno", "jet", "bone")
TOPICS: dict[str, type[Any]] = {
    "depth_relative": Image,
    "uncertainty": Image,
    "camera_info": CameraInfo,
    "depth": Image,
    "points": PointCloud2,
    "debug": Image,
    "info": DepthInfo,
}
DEPTH_ENCODINGS = {"32FC1": 1.0, "16UC1": 0.001}  # metres of a unit, REP 118


def calibration_of(info: CameraInfo) -> Calibration:
    """Field by field."""
    return Calibration(
        info.width,
        info.height,
        info.distortion_model,
        *(tuple(map(float, each)) for each in (info.d, info.k, info.r, info.p)),
    )


def sparse_points_of(message: Image | PointCloud2, camera: Camera) -> Array:
    """Row, column and metres (N, 3) in the camera's image, of a depth image or of points in its optical frame.

    Raises ValueError naming what is wrong with the message.
    """
    if isinstance(message, PointCloud2):
        return camera.sparse_depth(cloud_positions(message))
    if message.encoding not in DEPTH_ENCODINGS:
        raise ValueError(
            f"the sparse depth image has encoding {message.encoding!r}, expected 32FC1 (metres) or 16UC1 (millimetres)"
        )
    return sparse_image_points(from_image(message).astype(np.float64) * DEPTH_ENCODINGS[message.encoding], camera)


def frame_messages(
    frame: DepthFrame, header: Header, info: CameraInfo, checkpoint: str, wanted: Collection[str], colormap: str
) -> dict[str, Any]:
    """Topic -> message, of those wanted for which there is something to say, all with the image's header.

    info: the image's camera_info. The latency of the DepthInfo is still 0.
    """
    estimate, metric = frame.estimate, frame.metric
    makers = {
        "depth_relative": lambda: to_image(estimate.relative, "32FC1", header),
        "uncertainty": lambda: _map(estimate.uncertainty, header),
        "camera_info": lambda: frame.camera and _camera_info(info, header, frame.camera),
        "depth": lambda: _map(metric.depth, header),
        "points": lambda: _cloud(frame, header),
        "debug": lambda: to_image(near_is_warm(estimate.relative, colormap), "rgb8", header),
        "info": lambda: _depth_info(frame, header, checkpoint),
    }
    made = {topic: makers[topic]() for topic in makers if topic in wanted}
    return {topic: message for topic, message in made.items() if message is not None}


def near_is_warm(relative: NDArray[np.float32], colormap: str) -> NDArray[np.uint8]:
    """Relative depth (H, W) in the colours of one of COLORMAPS, near at its upper end: (H, W, 3) uint8, RGB."""
    near = np.rint((1 - np.clip(relative, 0, 1)) * 255).astype(np.uint8)
    return cv2.applyColorMap(near, getattr(cv2, f"COLORMAP_{colormap.upper()}"))[:, :, ::-1]


def _map(values: Array | None, header: Header) -> Image | None:
    return None if values is None else to_image(values, "32FC1", header)


def _cloud(frame: DepthFrame, header: Header) -> PointCloud2 | None:
    points, rgb = frame.points, frame.image_rgb
    if points is None:
        return None
    if rgb.shape != points.shape:
        rgb = cv2.resize(rgb, points.shape[1::-1], interpolation=cv2.INTER_AREA)
    return to_cloud(points, rgb, header)


def _camera_info(info: CameraInfo, header: Header, camera: Camera) -> CameraInfo:
    """The image's camera_info, for the size of the maps."""
    scaled = copy.copy(info)
    scaled.header = header
    scaled.width, scaled.height = camera.width, camera.height
    scaled.k, scaled.p = camera.k.ravel(), camera.p.ravel()
    return scaled


def _depth_info(frame: DepthFrame, header: Header, checkpoint: str) -> DepthInfo:
    request, metric, fit = frame.request, frame.metric, frame.metric.fit
    settings = request.settings
    return DepthInfo(
        header=header,
        checkpoint=checkpoint,
        steering=steering_to_message(request.steering),
        num_inference_steps=settings.num_inference_steps,
        ensemble_size=settings.ensemble_size,
        processing_resolution=settings.processing_resolution,
        warm_start=settings.warm_start,
        seed=settings.seed,
        frame_seed=frame.frame_seed,
        metric_source=request.metric.source,
        sparse_fit=request.metric.fit if frame.metric.fit else "global",
        metric=metric.depth is not None,
        scale=metric.scale,
        shift=metric.shift,
        points=fit.points if fit else 0,
        inliers=fit.inliers if fit else 0,
        residual=fit.residual if fit else 0.0,
        is_good=fit.is_good if fit else False,
        problem=frame.problem,
        inference=seconds_to_duration(frame.inference),
    )

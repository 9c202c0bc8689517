"""Modes as vision_msgs/Detection3DArray, where that package is installed; it is not among the pip wheels."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PoseWithCovariance
from std_msgs.msg import Header


def _installed() -> Any:
    """vision_msgs.msg, or None."""
    try:
        return importlib.import_module("vision_msgs.msg")
    except ImportError:
        return None


VISION_MSGS = _installed()


def detections(
    vision_msgs: Any,
    header: Header,
    object_name: str,
    modes: Sequence[PoseWithCovariance],
    weights: Sequence[float],
    stable: PoseWithCovariance | None,
) -> Any:
    """A Detection3DArray with one object, whose hypotheses are the modes, the weights their scores; empty of none.

    vision_msgs: the package's msg module, version 4. stable: the pose of the box, whose size is unknown: 0.
    """
    if stable is None:
        return vision_msgs.Detection3DArray(header=header)
    results = [_hypothesis(vision_msgs, object_name, pose, weight) for pose, weight in zip(modes, weights, strict=True)]
    box = vision_msgs.BoundingBox3D(center=stable.pose)
    detection = vision_msgs.Detection3D(header=header, results=results, bbox=box, id=object_name)
    return vision_msgs.Detection3DArray(header=header, detections=[detection])


def _hypothesis(vision_msgs: Any, object_name: str, pose: PoseWithCovariance, weight: float) -> Any:
    hypothesis = vision_msgs.ObjectHypothesis(class_id=object_name, score=weight)
    return vision_msgs.ObjectHypothesisWithPose(hypothesis=hypothesis, pose=pose)

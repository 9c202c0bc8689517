"""Rotations for RViz: where each sample's axes point, the modes' axes, and the steady pose's, about the origin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from torch import Tensor
from visualization_msgs.msg import Marker, MarkerArray

from psr_perception.pose.runner import PoseFrame

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # red x, green y, blue z, as RViz draws axes


def markers(frame: PoseFrame, header: Header, size: float) -> MarkerArray:
    """Three markers, each always there, so that none of an earlier frame stays.

    samples: a point at the end of every axis, size metres from the origin. modes: axes as visible as they weigh.
    pose: thick axes of the steady pose; removed while there is none.
    """
    modes = frame.estimate.modes
    rotations = torch.stack([mode.rotation for mode in modes]) if modes else torch.zeros(0, 3, 3)
    stable = torch.zeros(0, 3, 3) if frame.rotation is None else frame.rotation[None]
    weights = [mode.weight for mode in modes]
    tips = _marker(header, "samples", Marker.POINTS, size / 50)
    _add(tips, [(tip * size,) for tip in _tips(frame.estimate.rotations)], [0.5] * len(frame.estimate.rotations))
    axes = _marker(header, "modes", Marker.LINE_LIST, size / 50)
    _add(axes, [(torch.zeros(3), tip * size) for tip in _tips(rotations)], weights)
    pose = _marker(header, "pose", Marker.LINE_LIST, size / 15)
    _add(pose, [(torch.zeros(3), tip * size) for tip in _tips(stable)], [1.0] * len(stable))
    return MarkerArray(markers=[tips, axes, pose])


def _marker(header: Header, namespace: str, kind: int, width: float) -> Marker:
    return Marker(
        header=header,
        ns=namespace,
        type=kind,
        action=Marker.DELETE,
        pose=Pose(orientation=Quaternion(w=1.0)),
        scale=Vector3(x=width, y=width, z=width),
    )


def _tips(rotations: Tensor) -> Tensor:
    """Where the axes x, y, z of rotations (N, 3, 3) point, (3 N, 3)."""
    return rotations.mT.reshape(-1, 3)


def _add(marker: Marker, shapes: Sequence[Sequence[Tensor]], alphas: Sequence[float]) -> None:
    """The points of shapes, three in a row for the axes of each of the alphas; with any, the marker is shown."""
    if shapes:
        marker.action = Marker.ADD
    for number, shape in enumerate(shapes):
        red, green, blue = AXES[number % 3]
        for point in shape:
            x, y, z = point.tolist()
            marker.points.append(Point(x=x, y=y, z=z))
            marker.colors.append(ColorRGBA(r=red, g=green, b=blue, a=alphas[number // 3]))

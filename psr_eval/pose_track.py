"""Rotations that were estimated while an episode was filmed, frame by frame, beside the true ones of a bag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core import so3
from psr_core.rotations import axis_angle_to_matrix
from psr_eval.depth_views import METRES
from psr_eval.episodes import BagContents
from psr_eval.moments import Topic, common_stamps, messages_at, spread, survey
from psr_eval.video import IMAGE, rgb
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import Symmetry, named_symmetry

INFO = "psr_interfaces/msg/PoseInfo"
STABLE, SAMPLES = "geometry_msgs/msg/PoseWithCovarianceStamped", "geometry_msgs/msg/PoseArray"
TRUTH, CALIBRATION = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/CameraInfo"
NONE = torch.full((3, 3), torch.nan, dtype=torch.float64)

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """All images with an estimate and a truth. Rotations are relative to the line of sight through the region.

    seconds (n,): of simulated time. truth, stable, sample: (n, 3, 3) float64; stable is NaN where there was no steady
    pose; sample: the first of each frame. infos: a PoseInfo each. pictures: number of a frame -> its image (H, W, 3)
    uint8, of a few. K: the camera's matrix (3, 3).
    """

    seconds: Array
    truth: Tensor
    stable: Tensor
    sample: Tensor
    infos: list[Any]
    pictures: dict[int, Array]
    K: Array

    @property
    def symmetry(self) -> Symmetry:
        return named_symmetry(self.infos[0].symmetry)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of an image, pixels."""
        height, width, _ = next(iter(self.pictures.values())).shape
        return width, height

    def error(self, rotations: Tensor) -> Array:
        """How far rotations (n, 3, 3) are from the truth up to symmetry, degrees (n,), NaN where there is none."""
        return _degrees(self.symmetry.distance(self.truth, rotations), rotations)

    def jumps(self, rotations: Tensor) -> Array:
        """How far each of rotations (n, 3, 3) is from the one before it, as it stands: degrees (n - 1,), NaN where
        either is missing."""
        return _degrees(so3.distance(rotations[:-1], rotations[1:]), rotations[:-1] + rotations[1:])


def find_track(bags: Iterable[BagContents], pictures: int = 3) -> PoseTrack | None:
    """The frames of the first bag that holds, of the same stamp, a colour image, its camera's calibration, the truth in
    that camera's frame and rotations estimated from it; with up to `pictures` images, evenly spread. The object must be
    one of psr_perception.pose.solids, so that it can be drawn. None where no bag has that.
    """
    for bag in bags:
        topics = survey(bag, [IMAGE, INFO, STABLE, SAMPLES, TRUTH, CALIBRATION])
        for name in (name for name, topic in topics.items() if topic.type == INFO):
            if (track := _track(bag, topics, name, pictures)) is not None:
                return track
    return None


def line_of_sight(direction: Array) -> Array:
    """The least rotation (3, 3) that takes the optical axis to a direction (3,) before the camera."""
    direction = direction / np.linalg.norm(direction)
    axis = np.cross([0.0, 0.0, 1.0], direction)
    sine = float(np.linalg.norm(axis))
    return axis_angle_to_matrix(axis / max(sine, 1e-12) * np.arctan2(sine, direction[2]))


def looked_at(region: Any, width: int, height: int) -> tuple[float, float, int]:
    """Column and row of the centre, and the side, of the square that the network saw; region: of a PoseInfo."""
    wide, high = (region.width, region.height) if region.width else (width, height)
    return region.x_offset + (wide - 1) / 2, region.y_offset + (high - 1) / 2, max(wide, high)


def sight(info: Any, calibration: Any) -> Array:
    """The rotation (3, 3) from the line of sight's frame to the camera's."""
    column, row, _ = looked_at(info.region, calibration.width, calibration.height)
    return line_of_sight(np.linalg.solve(_matrix(calibration), [column, row, 1.0]))


def _track(bag: BagContents, topics: dict[str, Topic], info: str, pictures: int) -> PoseTrack | None:
    node, frame = info.rpartition("/")[0] + "/", topics[info].first.header.frame_id
    if topics[info].first.symmetry not in SOLIDS:
        return None
    colour, calibration, truth = (
        next((name for name, topic in topics.items() if _fits(name, topic, kind, node, frame)), "")
        for kind in (IMAGE, CALIBRATION, TRUTH)
    )
    samples = f"{node}samples"
    needed = [colour, calibration, truth, samples, info]
    if any(name not in topics for name in needed):
        return None
    stamps = common_stamps([topics[name] for name in needed])
    if not stamps or not np.any(topics[calibration].first.k):
        return None
    shown = spread(stamps, pictures)
    wanted = {calibration: stamps, truth: stamps, samples: stamps, info: stamps, colour: shown}
    wanted |= {f"{node}pose": stamps} if f"{node}pose" in topics else {}
    found = messages_at(bag, topics, wanted)
    moments = [found[stamp] for stamp in stamps]
    sights = [torch.from_numpy(sight(each[info], each[calibration])) for each in moments]
    steady = [each.get(f"{node}pose") for each in moments]
    return PoseTrack(
        seconds=np.array(stamps) / 1e9,
        truth=torch.stack([way.mT @ _rotation(each[truth].pose) for way, each in zip(sights, moments, strict=True)]),
        stable=torch.stack([NONE if pose is None else _rotation(pose.pose.pose) for pose in steady]),
        sample=torch.stack([_rotation(each[samples].poses[0]) for each in moments]),
        infos=[each[info] for each in moments],
        pictures={stamps.index(stamp): rgb(found[stamp][colour]) for stamp in shown},
        K=_matrix(moments[0][calibration]),
    )


def _fits(name: str, topic: Topic, kind: str, node: str, frame: str) -> bool:
    """Whether a topic is of this kind, of that frame, and not the node's own; depth is no picture."""
    depth = topic.type == IMAGE and topic.first.encoding == METRES
    return topic.type == kind and not name.startswith(node) and topic.first.header.frame_id == frame and not depth


def _matrix(calibration: Any) -> Array:
    return np.array(calibration.k, dtype=np.float64).reshape(3, 3)


def _rotation(pose: Any) -> Tensor:
    quat = pose.orientation
    return so3.quat_to_matrix(torch.tensor([quat.x, quat.y, quat.z, quat.w], dtype=torch.float64))


def _degrees(angles: Tensor, rotations: Tensor) -> Array:
    known = rotations.isfinite().all(-1).all(-1)
    return torch.where(known, angles.rad2deg(), torch.nan).numpy()

"""A video of a slowly turning solid, and what the pose node's runner makes of each of its frames, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_eval.kept import KeptResults
from psr_eval.pose_images import DATA_SEED, check_shapes
from psr_eval.pose_jumps import Moves, moves
from psr_eval.pose_turning_rows import Row
from psr_perception.pose.estimator import PoseEstimator
from psr_perception.pose.network import PoseNetwork
from psr_perception.pose.raycaster import render
from psr_perception.pose.runner import PoseRunner
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import Symmetry, named_symmetry

AXIS = (2.0, 4.0, 5.0)  # of the turning, in the object's frame: 18 degrees or more from every solid's symmetry axes
FIRST = 2  # what an address (DATA_SEED, solid) is for: its rotation in the first frame
CAMERA = 192  # pixels a side of a frame, at least
RATE = 30.0  # frames a second
LARGEST_STEP = 10.0  # degrees a frame: less than any jump, whatever the solid
DIGITS = 7  # of a quaternion's entries: samples are float32

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Turning:
    """The videos: of each solid one, turning at a constant rate about AXIS from a rotation of its own.

    frames: of each. step: degrees from one to the next. Raises ValueError naming the field.
    """

    shapes: tuple[str, ...] = tuple(SOLIDS)
    frames: int = 180
    step: float = 2.0

    def __post_init__(self) -> None:
        check_shapes(self.shapes)
        if self.frames < 2:
            raise ValueError(f"frames is {self.frames}, expected 2 or more")
        if not 0 < self.step <= LARGEST_STEP:
            raise ValueError(f"step is {self.step}, expected degrees a frame above 0, {LARGEST_STEP:g} at most")

    def rotations(self, shape: str) -> Tensor:
        """The true rotations (frames, 3, 3) float64."""
        generator = noise_generator(DATA_SEED, list(SOLIDS).index(shape), FIRST)
        first = so3.random_rotations((), generator, torch.float64)
        axis = torch.nn.functional.normalize(torch.tensor(AXIS, dtype=torch.float64), dim=0)
        angles = math.radians(self.step) * torch.arange(self.frames, dtype=torch.float64)
        return first @ so3.exp(angles[:, None] * axis)

    def images(self, shape: str, size: int) -> Iterator[Pixels]:
        """Camera images (side, side, 3) RGB; their side is the least multiple of size from CAMERA on."""
        side = size * math.ceil(CAMERA / size)
        for rotation in self.rotations(shape).float():
            grey = (255 * render(SOLIDS[shape], rotation[None], side)[0]).round().byte().numpy()
            yield np.repeat(grey[..., None], 3, axis=-1)

    def stamp(self, number: int) -> int:
        """Of a frame, ns."""
        return round(number * 1e9 / RATE)


@dataclass(frozen=True, eq=False)
class Clip:
    """What was estimated in each frame of a video: the first of the samples, and the pose that the node publishes.

    samples: (frames, 3, 3) float64. poses: (3, 3) float64 each, or None where the samples agree on nothing.
    """

    symmetry: Symmetry
    truth: Tensor
    samples: Tensor
    poses: tuple[Tensor | None, ...]

    @property
    def missing(self) -> int:
        """Frames without a pose."""
        return sum(pose is None for pose in self.poses)

    def sample_moves(self) -> Moves:
        """Of the first sample."""
        return moves(self.symmetry, self.truth, list(self.samples))

    def pose_moves(self) -> Moves:
        """Of the published pose."""
        return moves(self.symmetry, self.truth, self.poses)


Clips = dict[tuple[Row, str], Clip]
Report = Callable[[int, int, str], None]


def measure(
    network: PoseNetwork,
    turning: Turning,
    rows: Sequence[Row],
    path: Path,
    *,
    seed: int = 0,
    facts: Mapping[str, Any] | None = None,
    report: Report = lambda done, total, name: None,
) -> Clips:
    """A clip of every (row, shape); what the file at `path` has is not estimated again.

    facts: what else decides the estimates (the weights), plain values. report: given how many frames are done and to do
    now, first with none done, and the row's name. Shape by shape. Raises ValueError as PoseRunner.step.
    """
    device = next(network.parameters()).device.type
    own = {"seed": seed, "frames": turning.frames, "step": turning.step, "device": device, "data_seed": DATA_SEED}
    kept = KeptResults(path, {**(facts or {}), **own})
    wanted = [(row, shape) for shape in turning.shapes for row in rows]
    missing = [pair for pair in wanted if kept.get(_key(*pair)) is None]
    total = len(missing) * turning.frames
    if missing:
        report(0, total, "")
    for number, (row, shape) in enumerate(missing):
        begun, name = number * turning.frames, f"{shape}, {row.name}"
        clip = film(network, turning, shape, row, seed, lambda done, b=begun, n=name: report(b + done, total, n))
        quaternions = [None if pose is None else _quaternion(pose) for pose in clip.poses]
        kept.add(_key(row, shape), {"samples": [_quaternion(each) for each in clip.samples], "poses": quaternions})
    return {(row, shape): _clip(turning, shape, kept.get(_key(row, shape))) for row, shape in wanted}


def film(
    network: PoseNetwork,
    turning: Turning,
    shape: str,
    row: Row,
    seed: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Clip:
    """Every frame through the node's runner, from the first on. report: given how many frames are done."""
    estimator = PoseEstimator(network, named_symmetry(shape))
    runner, request = PoseRunner(estimator, shape), row.request(seed)
    samples, poses = [], []
    for number, image in enumerate(turning.images(shape, estimator.size)):
        frame = runner.step(image, turning.stamp(number), request)
        samples.append(frame.estimate.rotations[0])
        poses.append(frame.rotation)
        report(number + 1)
    return Clip(estimator.symmetry, turning.rotations(shape), torch.stack(samples), tuple(poses))


def _key(row: Row, shape: str) -> dict[str, Any]:
    return {"row": asdict(row), "shape": shape}


def _clip(turning: Turning, shape: str, kept: Mapping[str, Any]) -> Clip:
    poses = tuple(None if each is None else _rotations(each) for each in kept["poses"])
    return Clip(named_symmetry(shape), turning.rotations(shape), _rotations(kept["samples"]), poses)


def _quaternion(rotation: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in so3.matrix_to_quat(rotation).tolist()]


def _rotations(quaternions: Any) -> Tensor:
    return so3.quat_to_matrix(torch.tensor(quaternions, dtype=torch.float64))

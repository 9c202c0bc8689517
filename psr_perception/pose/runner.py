"""PoseRunner: from camera images to rotations, modes and one steady pose, with all that made them. Free of ROS."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from psr_core.steering import Steering
from psr_perception.frames import frame_seed
from psr_perception.pose.estimator import PoseEstimate, PoseEstimator
from psr_perception.pose.modes import Mode, StablePose
from psr_perception.pose.region import Region, square_picture
from psr_perception.pose.settings import PoseSettings


@dataclass(frozen=True)
class PoseRequest:
    """Everything that a frame is made by. noise: one of NOISES, as psr_perception.frames.frame_seed has it."""

    settings: PoseSettings = field(default_factory=PoseSettings)
    steering: Steering = field(default_factory=Steering)
    region: Region = field(default_factory=Region)
    noise: str = "fixed"


@dataclass(frozen=True, eq=False)
class PoseFrame:
    """The rotations of one image, and what they were made by.

    picture: (size, size) float32, what the network saw. stable: which of estimate.modes the steady pose shows, or None.
    rotation: (3, 3) float64, of that mode's symmetric forms the one nearest to the last frame's, or None. symmetry: the
    object's, by name. inference: seconds.
    """

    picture: NDArray[np.float32]
    estimate: PoseEstimate
    stable: int | None
    rotation: Tensor | None
    symmetry: str
    request: PoseRequest
    frame_seed: int
    inference: float

    @property
    def mode(self) -> Mode | None:
        """The mode that the steady pose shows."""
        return None if self.stable is None else self.estimate.modes[self.stable]

    @property
    def problem(self) -> str:
        """Why there is no steady pose, or an empty text."""
        if self.mode is not None:
            return ""
        angle = self.request.settings.mode_angle
        return f"no pose: the samples do not agree to within mode_angle = {angle:g} degrees; is it the right object?"


class PoseRunner:
    """Makes the rotations of one image after the other. `step` is for one thread, `check` for any.

    checkpoint: name under which the result tells of the weights.
    """

    def __init__(self, estimator: PoseEstimator, checkpoint: str) -> None:
        self.estimator = estimator
        self.checkpoint = checkpoint
        self._stable = StablePose(estimator.symmetry)
        self._last: tuple[int, int] | None = None  # session and stamp of the last frame

    def check(self, request: PoseRequest) -> None:
        """Raises ValueError naming what does not go together."""
        self.estimator.check(request.settings, request.steering)

    def warm_up(self, request: PoseRequest) -> None:
        """Look at a black picture for nothing: the first frame is then as fast as the others, unfit settings show at
        once."""
        self.check(request)
        black = np.zeros((self.estimator.size, self.estimator.size), np.float32)
        self.estimator.estimate(black, replace(request.settings, num_inference_steps=1), request.steering, 0)

    def step(self, image_rgb: NDArray[np.uint8], stamp: int, request: PoseRequest, session: int = 0) -> PoseFrame:
        """The rotations of the object in an (H, W, 3) image, its stamp in ns.

        The steady pose begins anew with another session, and where time goes back. Raises ValueError as square_picture
        and PoseEstimator.estimate do.
        """
        if self._last is None or session != self._last[0] or stamp < self._last[1]:
            self._stable.reset()
        self._last = session, stamp
        picture = square_picture(image_rgb, request.region, self.estimator.size)
        started, seed = time.monotonic(), frame_seed(request.noise, stamp)
        estimate = self.estimator.estimate(picture, request.settings, request.steering, seed)
        stable = self._stable.choose(estimate.modes, request.settings.radius)
        rotation = None if stable is None else self._stable.update(estimate.modes[stable].rotation)
        inference = time.monotonic() - started
        name = self.estimator.symmetry.name
        return PoseFrame(picture, estimate, stable, rotation, name, request, seed, inference)

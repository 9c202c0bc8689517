"""DepthRunner: from camera images to depth maps, relative and metric, with all that made them. Free of ROS."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psr_core.steering import Steering
from psr_perception.depth.calibration import Calibration, Rectifier
from psr_perception.depth.camera import Camera
from psr_perception.depth.estimator import DepthEstimate, DepthEstimator
from psr_perception.depth.metric import MetricDepth, MetricSettings, SparseBuffer, metric_depth
from psr_perception.depth.settings import DepthSettings
from psr_perception.frames import frame_seed

WARM_UP = 64  # pixels a side


@dataclass(frozen=True)
class DepthRequest:
    """Everything that a frame is made by. rectify: take the distortion out first. noise: one of NOISES, as frame_seed
    has it."""

    settings: DepthSettings = field(default_factory=DepthSettings)
    steering: Steering = field(default_factory=Steering)
    metric: MetricSettings = field(default_factory=MetricSettings)
    rectify: bool = False
    noise: str = "fixed"

    def frame_seed(self, stamp: int) -> int:
        """What addresses the noise of a frame, together with settings.seed."""
        return 0 if self.settings.warm_start else frame_seed(self.noise, stamp)


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """The maps of one image, and what they were made by.

    image_rgb: what was looked at, rectified if that was asked for. camera: of the maps, or None where camera_info is of
    no use, which camera_problem says. inference: seconds.
    """

    image_rgb: NDArray[np.uint8]
    estimate: DepthEstimate
    metric: MetricDepth
    camera: Camera | None
    camera_problem: str
    request: DepthRequest
    frame_seed: int
    inference: float

    @property
    def problem(self) -> str:
        """Why there is no metric depth though a source was named, or what is wrong with camera_info; else empty."""
        return self.camera_problem or self.metric.problem

    @property
    def points(self) -> NDArray[np.float32] | None:
        """(H, W, 3), metres, in the camera's optical frame, NaN where unknown; None without metric depth."""
        if self.metric.depth is None or self.camera is None:
            return None
        return self.camera.backproject(self.metric.depth)


class DepthRunner:
    """Makes the maps of one image after the other. `step` is for one thread; `check` and `sparse` are for any.

    checkpoint: name under which the result tells of the weights. sparse: takes the sparse depth that comes in.
    """

    def __init__(self, estimator: DepthEstimator, checkpoint: str) -> None:
        self.estimator = estimator
        self.checkpoint = checkpoint
        self.sparse = SparseBuffer()
        self._rectifier = Rectifier()
        self._last: tuple[int, int] | None = None  # session and stamp of the last frame

    def check(self, request: DepthRequest) -> None:
        """Raises ValueError naming what cannot be with this checkpoint."""
        self.estimator.check(request.settings, request.steering)

    def warm_up(self, request: DepthRequest) -> None:
        """Estimate a small image for nothing: the first frame is then as fast as the others, unfit settings show at
        once."""
        self.check(request)
        black = np.zeros((WARM_UP, WARM_UP, 3), np.uint8)
        quick = replace(request.settings, processing_resolution=0, num_inference_steps=1)
        self.estimator.estimate(black, quick, request.steering, 0)
        self.estimator.reset()

    def step(
        self,
        image_rgb: NDArray[np.uint8],
        calibration: Calibration,
        stamp: int,
        frame: str,
        request: DepthRequest,
        session: int = 0,
    ) -> DepthFrame:
        """The maps of an (H, W, 3) image, its stamp in ns, in the coordinate frame `frame`.

        A calibration of no use costs the metric depth only. A warm start begins anew with another session, and where
        time goes back. Raises ValueError as DepthEstimator.estimate does, and where the image cannot be rectified.
        """
        if self._last is None or session != self._last[0] or stamp < self._last[1]:
            self.estimator.reset()
        self._last = session, stamp
        self.sparse.watch(stamp)
        if request.rectify:
            image_rgb = self._rectifier.rectify(image_rgb, calibration)
        started, seed = time.monotonic(), request.frame_seed(stamp)
        estimate = self.estimator.estimate(image_rgb, request.settings, request.steering, seed)
        inference = time.monotonic() - started
        camera, metric, problem = None, MetricDepth(), ""
        try:
            height, width = estimate.relative.shape
            camera = calibration.camera(image_rgb.shape)
            camera = camera if (camera.height, camera.width) == (height, width) else camera.resized(width, height)
            metric = metric_depth(estimate.relative, stamp, frame, camera, request.metric, self.sparse)
        except ValueError as error:
            problem = str(error)
        return DepthFrame(image_rgb, estimate, metric, camera, problem, request, seed, inference)


def checkpoint_id(checkpoint: str | Path) -> str:
    """A folder's name@first 12 characters of the SHA-256 of its unet's weights; a hub id as it is."""
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        return str(checkpoint)
    digest = hashlib.sha256()
    for path in sorted((folder / "unet").glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"{folder.resolve().name}@{digest.hexdigest()[:12]}"

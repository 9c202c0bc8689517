"""The depth node: camera images in, depth maps out. `python -m psr_perception.depth.node`, or `ros2 run`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from psr_core.devices import torch_device
from psr_core.steering import Steering
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.jobs import DepthJob, work
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.metric import SparseDepth
from psr_perception.depth.outputs import TOPICS, sparse_points_of
from psr_perception.depth.parameters import declare_parameters, request_of
from psr_perception.depth.runner import DepthFrame, DepthRequest, DepthRunner, checkpoint_id
from psr_perception.depth.step_warnings import steering_warnings
from psr_perception.frame_node import IMAGE, FrameNode, Inputs
from psr_perception.frames import StampPairs
from psr_ros.lifecycle import ERROR, WARN, run_alone
from psr_ros.messages import time_to_nanoseconds

INFO = "camera_info"
SPARSE: dict[str, tuple[str, type[Any]]] = {"depth": ("sparse_depth", Image), "points": ("sparse_points", PointCloud2)}


class DepthNode(FrameNode):
    """Estimates the depth of the newest image, under what the parameters say when it arrives.

    Subscribes to image and camera_info, and to sparse depth where that makes the depth metric, while somebody listens
    to ~/depth or to another output. Images are worked on in a thread of their own; this one always answers.
    """

    OUTPUTS, RESULT = TOPICS, "depth"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("depth", work, Steering(), **kwargs)
        declare_parameters(self.declare)

    def begin(self) -> None:
        self._pairs = StampPairs(IMAGE, INFO)

    def forget(self) -> None:
        super().forget()
        self.begin()

    def request_of(self, runner: DepthRunner, value: Callable[[str], Any], steering: Steering) -> DepthRequest:
        return request_of(value, runner.estimator.default_settings, steering)

    def load(self) -> DepthRunner:
        if not self.parameter("checkpoint"):
            raise ValueError("checkpoint is empty; give the folder or hub id of a Marigold depth pipeline")
        pipeline = load_depth_pipeline(
            self.parameter("checkpoint"),
            torch_device(self.parameter("device")),
            self.parameter("dtype"),
            self.parameter("tiny_autoencoder") or None,
        )
        estimator = DepthEstimator(pipeline, self.parameter("batch_size"))
        return DepthRunner(estimator, checkpoint_id(self.parameter("checkpoint")))

    def activate(self) -> None:
        self._runner.sparse.clear()
        super().activate()

    # Inputs

    def inputs(self) -> Inputs:
        wanted: dict[str, Any] = {IMAGE: (Image, self.on_image), INFO: (CameraInfo, self._on_info)}
        if source := SPARSE.get(self.parameter("metric_source")):
            wanted[source[0]] = source[1], self._on_sparse
        return wanted

    def take(self, image: Image, arrival: int) -> None:
        self._pair(IMAGE, image.header, (image, arrival))

    def _on_info(self, message: CameraInfo) -> None:
        self._pair(INFO, message.header, message)

    def _pair(self, topic: str, header: Any, message: Any) -> None:
        pair = self._pairs.add(topic, time_to_nanoseconds(header.stamp), message)
        if pair is not None:
            (image, arrival), info = pair
            self.offer(DepthJob, image, arrival, info=info, colormap=self.parameter("debug_colormap"))

    def _on_sparse(self, message: Image | PointCloud2) -> None:
        stamp, frame = time_to_nanoseconds(message.header.stamp), message.header.frame_id
        self._runner.sparse.add(SparseDepth(stamp, frame, partial(sparse_points_of, message)))

    # Diagnostics

    def input_problem(self) -> str:
        return self._pairs.problem

    def warnings_of(self, request: DepthRequest) -> list[str]:
        return steering_warnings(request.settings, request.steering, self._runner.estimator.scheduler)

    def severity(self, frame: DepthFrame) -> bytes:
        asked_for = frame.request.metric.source != "none"
        return ERROR if asked_for else WARN

    def values(self, frame: DepthFrame | None) -> dict[str, Any]:
        return {"metric source": self.parameter("metric_source"), **(_metric_values(frame) if frame else {})}


def _metric_values(frame: DepthFrame) -> dict[str, str]:
    metric, fit = frame.metric, frame.metric.fit
    values = {"scale (m)": f"{metric.scale:.4g}", "shift (m)": f"{metric.shift:.4g}"} if metric.scale else {}
    if fit is not None:
        values |= {
            "inliers": f"{fit.inliers} of {fit.points}",
            "residual": f"{fit.residual:.4f}",
            "is_good": str(fit.is_good).lower(),
        }
    return values


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(DepthNode)


if __name__ == "__main__":
    main()

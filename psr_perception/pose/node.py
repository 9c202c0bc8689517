"""The pose node: camera images in, an object's rotations out. `python -m psr_perception.pose.node`, or `ros2 run`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from sensor_msgs.msg import Image, RegionOfInterest

from psr_core.devices import torch_device
from psr_core.steering import Steering
from psr_perception.frame_node import IMAGE, FrameNode, Inputs
from psr_perception.pose.checkpoint import load_pose_network
from psr_perception.pose.estimator import PoseEstimator
from psr_perception.pose.jobs import PoseJob, work
from psr_perception.pose.outputs import TOPICS, region_of
from psr_perception.pose.parameters import declare_parameters, request_of
from psr_perception.pose.runner import PoseFrame, PoseRequest, PoseRunner
from psr_perception.pose.settings import sampling_warnings
from psr_perception.pose.symmetry import named_symmetry
from psr_ros import qos
from psr_ros.lifecycle import run_alone


class PoseNode(FrameNode):
    """Samples the rotations of the object in the newest image, under what the parameters say when the work begins.

    Subscribes to image while somebody listens to one of its outputs, and to region while active. Images are worked on
    in a thread of their own; this one always answers.
    """

    OUTPUTS, RESULT = TOPICS, "rotations"

    def __init__(self, **kwargs: Any) -> None:
        self._region: RegionOfInterest | None = None  # the last one, unless it was of no size
        self._regions: Any = None
        super().__init__("pose", work, Steering(cap=True), **kwargs)
        declare_parameters(self.declare)

    def load(self) -> PoseRunner:
        if not self.parameter("checkpoint"):
            raise ValueError("checkpoint is empty; give the folder of a rotation network, as psr train pose writes it")
        symmetry = named_symmetry(self.parameter("symmetry"))
        network, name = load_pose_network(self.parameter("checkpoint"), torch_device(self.parameter("device")))
        return PoseRunner(PoseEstimator(network, symmetry), name)

    def request_of(self, runner: PoseRunner, value: Callable[[str], Any], steering: Steering) -> PoseRequest:
        return request_of(value, steering)

    def activate(self) -> None:
        super().activate()
        profile = qos.images(self.parameter("reliability"))
        self._regions = self.create_subscription(RegionOfInterest, "region", self._on_region, profile)

    def deactivate(self) -> None:
        super().deactivate()
        if self._regions is not None:
            self.destroy_subscription(self._regions)
        self._regions = self._region = None

    # Inputs

    def inputs(self) -> Inputs:
        return {IMAGE: (Image, self.on_image)}

    def take(self, image: Image, arrival: int) -> None:
        self.offer(PoseJob, image, arrival, marker_size=self.parameter("marker_size"))

    def _on_region(self, message: RegionOfInterest) -> None:
        self._region = message if message.width or message.height else None

    def current_request(self) -> PoseRequest:
        request, region = self._request, self._region
        return request if region is None else replace(request, region=region_of(region))

    # Diagnostics

    def warnings_of(self, request: PoseRequest) -> list[str]:
        return sampling_warnings(request.settings, request.steering)

    def values(self, frame: PoseFrame | None) -> dict[str, Any]:
        symmetry = {"symmetry": self._runner.estimator.symmetry.name}
        if frame is None:
            return symmetry
        shown = {} if frame.mode is None else {"spread (degrees)": f"{math.degrees(frame.mode.spread):.2f}"}
        return {**symmetry, "modes": len(frame.estimate.modes), **shown}


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(PoseNode)


if __name__ == "__main__":
    main()

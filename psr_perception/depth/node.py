"""The depth node: camera images in, depth maps out. `python -m psr_perception.depth.node`, or `ros2 run`."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

import torch
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from psr_core.devices import torch_device
from psr_core.steering import Steering
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.frames import NANOSECONDS, FrameStatistics, NewestWorker, StampPairs
from psr_perception.depth.jobs import Job, work
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.metric import SparseDepth
from psr_perception.depth.outputs import TOPICS, sparse_points_of
from psr_perception.depth.parameters import declare_parameters, request_of
from psr_perception.depth.runner import DepthFrame, DepthRequest, DepthRunner, checkpoint_id
from psr_perception.depth.step_warnings import steering_warnings
from psr_ros import qos
from psr_ros.lifecycle import ERROR, OK, WARN, Status, SuiteNode, run_alone
from psr_ros.messages import seconds_to_duration, time_to_nanoseconds
from psr_ros.steering_parameters import SteeringParameters

IMAGE, INFO = "image", "camera_info"
SPARSE: dict[str, tuple[str, type[Any]]] = {"depth": ("sparse_depth", Image), "points": ("sparse_points", PointCloud2)}
LISTENERS_PERIOD = 0.2  # seconds between two looks at whether anybody listens


class DepthNode(SuiteNode):
    """Estimates the depth of the newest image, under what the parameters say when it arrives.

    Subscribes to image and camera_info, and to sparse depth where that makes the depth metric, while somebody listens
    to ~/depth or to another output. Images are worked on in a thread of their own; this one always answers.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._runner: DepthRunner | None = None
        self._worker = NewestWorker(work, self._on_done)
        self._finished: deque[tuple[Job, Any]] = deque()
        super().__init__("depth", **kwargs)
        self._guard = self.create_guard_condition(self._publish_finished)
        self._session = 0
        self._logged = ""
        self._inputs: dict[str, Any] = {}  # subscriptions by topic
        self._outputs: dict[str, Any] = {}  # publishers by topic
        self._follower: Any = None
        self._forget()
        self._request = DepthRequest()  # what the parameters ask for at present
        self.add_post_set_parameters_callback(self._on_change)  # the first to be added is called last
        self.steering = SteeringParameters(self, refusal=self._refusal)
        declare_parameters(self.declare)

    def destroy_node(self) -> None:
        self._worker.close()
        super().destroy_node()

    def _forget(self) -> None:
        self.statistics = FrameStatistics()
        self._pairs = StampPairs(IMAGE, INFO)
        self._frame_problem = self._last_error = ""
        self._shown: DepthFrame | None = None
        self._warned: tuple[DepthRequest | None, list[str]] = None, []

    def _refusal(self, steering: Steering, changes: Mapping[str, Any]) -> str | None:
        if self._runner is None:  # nothing to ask yet; configuring asks
            return None
        self._runner.check(self._read(self._runner, steering, changes))
        return None

    def _on_change(self, parameters: list[Any]) -> None:
        if self._runner is not None:
            self._request = self._read(self._runner, self.steering.value, {})

    def _read(self, runner: DepthRunner, steering: Steering, changes: Mapping[str, Any]) -> DepthRequest:
        def value(name: str) -> Any:
            return changes[name] if name in changes else self.parameter(name)

        return request_of(value, runner.estimator.default_settings, steering)

    # Transitions

    def configure(self) -> None:
        if not self.parameter("checkpoint"):
            raise ValueError("checkpoint is empty; give the folder or hub id of a Marigold depth pipeline")
        if self.parameter("threads"):
            torch.set_num_threads(self.parameter("threads"))
        pipeline = load_depth_pipeline(
            self.parameter("checkpoint"),
            torch_device(self.parameter("device")),
            self.parameter("dtype"),
            self.parameter("tiny_autoencoder") or None,
        )
        estimator = DepthEstimator(pipeline, self.parameter("batch_size"))
        runner = DepthRunner(estimator, checkpoint_id(self.parameter("checkpoint")))
        request = self._read(runner, self.steering.value, {})
        runner.warm_up(request)
        self._forget()
        self._runner, self._request = runner, request
        self.get_logger().info(f"loaded {runner.checkpoint}, {self.steering.value.label()}")

    def activate(self) -> None:
        assert self._runner is not None
        self._runner.sparse.clear()
        for topic, kind in TOPICS.items():
            profile = qos.events() if topic == "info" else qos.images()
            self._outputs[topic] = self.create_publisher(kind, f"~/{topic}", profile)
        self._follower = self.create_wall_timer(LISTENERS_PERIOD, self._follow_listeners)

    def deactivate(self) -> None:
        self._session += 1  # what is still being worked on belongs to another
        self._worker.discard()
        self._subscribe({})
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs.clear()
        if self._follower is not None:
            self.destroy_timer(self._follower)
            self._follower = None

    def clean_up(self) -> None:
        self._runner = self._shown = None

    # Inputs

    def _wanted(self) -> frozenset[str]:
        """The outputs that somebody listens to."""
        return frozenset(topic for topic, each in self._outputs.items() if each.get_subscription_count())

    def _follow_listeners(self) -> None:
        wanted: dict[str, tuple[type[Any], Any]] = {}
        if self._wanted():
            wanted = {IMAGE: (Image, self._on_image), INFO: (CameraInfo, self._on_info)}
            if source := SPARSE.get(self.parameter("metric_source")):
                wanted[source[0]] = source[1], self._on_sparse
        self._subscribe(wanted)

    def _subscribe(self, wanted: Mapping[str, tuple[type[Any], Any]]) -> None:
        for topic in set(self._inputs) - set(wanted):
            self.destroy_subscription(self._inputs.pop(topic))
        for topic in set(wanted) - set(self._inputs):
            profile = qos.images(self.parameter("reliability"))
            self._inputs[topic] = self.create_subscription(wanted[topic][0], topic, wanted[topic][1], profile)
            self._since = time.monotonic()
            if topic == IMAGE:
                self._pairs = StampPairs(IMAGE, INFO)

    def _on_image(self, message: Image, info: dict[str, Any]) -> None:
        arrival = int(info.get("received_timestamp") or 0) or time.time_ns()
        self._pair(IMAGE, message.header, (message, arrival))

    def _on_info(self, message: CameraInfo) -> None:
        self._pair(INFO, message.header, message)

    def _pair(self, topic: str, header: Any, message: Any) -> None:
        pair = self._pairs.add(topic, time_to_nanoseconds(header.stamp), message)
        wanted = self._wanted()
        if pair is None or not wanted:
            return
        assert self._runner is not None
        (image, arrival), info = pair
        colormap = self.parameter("debug_colormap")
        job = Job(image, info, arrival, self._session, self._runner, lambda: self._request, wanted, colormap)
        self.statistics.drop(self._worker.offer(job))

    def _on_sparse(self, message: Image | PointCloud2) -> None:
        assert self._runner is not None
        stamp, frame = time_to_nanoseconds(message.header.stamp), message.header.frame_id
        self._runner.sparse.add(SparseDepth(stamp, frame, partial(sparse_points_of, message)))

    # Outputs

    def _on_done(self, job: Job, outcome: Any) -> None:
        """In the worker's thread."""
        self._finished.append((job, outcome))
        self._guard.trigger()

    def _publish_finished(self) -> None:
        while self._finished:
            job, outcome = self._finished.popleft()
            if job.session == self._session and self._outputs:
                self._publish(job, outcome)

    def _publish(self, job: Job, outcome: Any) -> None:
        if isinstance(outcome, Exception):
            self.statistics.fail()
            told = isinstance(outcome, ValueError)
            details = "" if told else f" ({type(outcome).__name__})"
            self._frame_problem = self._last_error = f"no depth: {outcome}{details}"
            if not told:
                self.get_logger().debug("".join(traceback.format_exception(outcome)))
        else:
            frame, messages = outcome
            for topic, message in messages.items():
                latency = (time.time_ns() - job.arrival) / NANOSECONDS
                if topic == "info":  # the last
                    message.latency = seconds_to_duration(latency)
                self._outputs[topic].publish(message)
            self.statistics.publish(time.monotonic(), (time.time_ns() - job.arrival) / NANOSECONDS, frame.inference)
            self._frame_problem, self._shown = "", frame
            self._last_error = frame.problem or self._last_error
        self._log_changes()

    # Diagnostics

    def status(self) -> Status:
        assert self._runner is not None
        self._log_changes()
        level, message = self._verdict()
        statistics, shown = self.statistics, self._shown
        values = {
            "checkpoint": self._runner.checkpoint,
            "steering": self.steering.value.label(),
            "published": statistics.published,
            "frames per second": f"{statistics.rate(time.monotonic()):.2f}",
            "latency p50 (s)": f"{statistics.latency(50):.4f}",
            "latency p95 (s)": f"{statistics.latency(95):.4f}",
            "inference p50 (s)": f"{statistics.inference(50):.4f}",
            "dropped": statistics.dropped,
            "drop rate": f"{statistics.drop_rate:.2f}",
            "failed": statistics.failed,
            "working on a frame": str(self._worker.busy).lower(),
            "metric source": self.parameter("metric_source"),
        }
        if shown is not None:
            values |= _metric_values(shown)
        return Status(level, message, {**values, "last error": self._last_error})

    def _verdict(self) -> tuple[bytes, str]:
        if not self._inputs:
            return OK, "nobody listens"
        if problem := self._frame_problem or self._silence() or self._pairs.problem:
            return ERROR, problem
        warnings = self._warnings()
        if self._shown is not None and self._shown.problem:
            asked_for = self._shown.request.metric.source != "none"
            return ERROR if asked_for else WARN, "; ".join([self._shown.problem, *warnings])
        return (WARN, "; ".join(warnings)) if warnings else (OK, "estimating")

    def _warnings(self) -> list[str]:
        assert self._runner is not None
        request, scheduler = self._request, self._runner.estimator.scheduler
        if request is not self._warned[0]:
            self._warned = request, steering_warnings(request.settings, request.steering, scheduler)
        return self._warned[1]

    def _silence(self) -> str:
        """Which topics nobody publishes, once there was time to find a publisher."""
        if time.monotonic() - self._since < qos.DISCOVERY:
            return ""
        return "; ".join(filter(None, (qos.silence(self, each) for each in self._inputs.values())))

    def _log_changes(self) -> None:
        if not self._inputs:  # nobody listens: nothing got better or worse
            return
        level, message = self._verdict()
        problem = message if level != OK else ""
        # A problem's numbers change from frame to frame; what it is about does not.
        kind = "".join(character for character in problem if not character.isdigit())
        if kind == self._logged:
            return
        self._logged = kind
        if level == ERROR:  # rclpy wants a line of its own for each severity
            self.get_logger().error(problem)
        elif level == WARN:
            self.get_logger().warning(problem)
        else:
            self.get_logger().info("all is well again")


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

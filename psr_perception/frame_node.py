"""What perception nodes share: images are worked on in a thread, the newest first, while somebody listens."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from sensor_msgs.msg import Image

from psr_core.steering import Steering
from psr_perception.frame_job import Frame, FrameJob, Runner
from psr_perception.frames import NANOSECONDS, NOISES, FrameStatistics, NewestWorker
from psr_ros import qos
from psr_ros.lifecycle import ERROR, OK, WARN, Status, SuiteNode
from psr_ros.messages import arrival_time, seconds_to_duration
from psr_ros.problem_log import ProblemLog
from psr_ros.steering_parameters import SteeringParameters

IMAGE = "image"
LISTENERS_PERIOD = 0.2  # seconds between two looks at whether anybody listens
Inputs = Mapping[str, tuple[type[Any], Callable[..., None]]]  # topic -> type, callback


class FrameNode(SuiteNode):
    """Makes something of the newest image, under what the parameters say when the work begins.

    Subscribes to its inputs while somebody listens to one of its outputs. `work` is called in a thread of its own with
    a FrameJob and returns a Frame and the messages by output, the one of "info" last; this thread always answers.
    Subclasses say what goes in and out; declare their parameters, `checkpoint` among them, after this constructor.
    """

    OUTPUTS: ClassVar[Mapping[str, type[Any]]]  # topic, without ~/, -> type; "info" tells of the others
    RESULT: ClassVar[str]  # what there is none of where a frame failed

    def __init__(
        self, name: str, work: Callable[[Any], tuple[Any, dict[str, Any]]], steering: Steering, **kwargs: Any
    ) -> None:
        self._runner: Any = None
        self._worker: NewestWorker[Any] = NewestWorker(work, self._on_done)
        self._finished: deque[tuple[Any, Any]] = deque()
        super().__init__(name, **kwargs)
        self._guard = self.create_guard_condition(self._publish_finished)
        self._session = 0
        self._log = ProblemLog(self.get_logger())
        self._inputs: dict[str, Any] = {}  # subscriptions by topic
        self._outputs: dict[str, Any] = {}  # publishers by topic
        self._follower: Any = None
        self.forget()
        self._request: Any = None  # what the parameters ask for at present
        self.add_post_set_parameters_callback(self._on_change)  # the first to be added is called last
        self.steering = SteeringParameters(self, steering, refusal=self._refusal)
        self._declare_shared()

    def destroy_node(self) -> None:
        self._worker.close()
        super().destroy_node()

    def _declare_shared(self) -> None:
        declare = self.declare
        declare("device", "cpu", "Where the networks run: cpu, cuda, cuda:1, ...")
        declare("threads", 0, "CPU threads of the networks; 0 leaves torch's choice.", bounds=(0, 256))
        reliability = "Of what is subscribed to; best_effort connects to every publisher, and may lose large images."
        declare("reliability", "reliable", reliability, choices=tuple(qos.RELIABILITIES))
        declare("seed", 0, "Of the noise.", bounds=(0, 2**63 - 1), live=True)
        noise = "fixed: the same at every frame, what stands still looks still; stamp: follows from the image's stamp."
        declare("noise", "fixed", noise, choices=NOISES, live=True)

    # What a subclass fills in

    def load(self) -> Runner:
        """What the parameters name, ready to work. Raises to refuse."""
        raise NotImplementedError

    def request_of(self, runner: Any, value: Callable[[str], Any], steering: Steering) -> Any:
        """What the values, by parameter name, ask of the runner. Raises ValueError for what cannot be."""
        raise NotImplementedError

    def inputs(self) -> Inputs:
        """What to subscribe to at present; IMAGE with on_image among it."""
        raise NotImplementedError

    def take(self, image: Image, arrival: int) -> None:
        """An image has come, at arrival (ns of the wall clock); offer() a job now or once it is complete."""
        raise NotImplementedError

    def begin(self) -> None:
        """Images are subscribed to, anew or for the first time."""

    def forget(self) -> None:
        """Begin everything that is counted or remembered anew."""
        self.statistics = FrameStatistics()
        self._frame_problem = self._last_error = ""
        self._shown: Any = None  # the last frame
        self._warned: tuple[Any, list[str]] = None, []

    def current_request(self) -> Any:
        """What the next frame is made by; called in the worker's thread."""
        return self._request

    def input_problem(self) -> str:
        """What is wrong with what comes in, or an empty text."""
        return ""

    def warnings_of(self, request: Any) -> list[str]:
        """What is unwise about a request."""
        return []

    def severity(self, frame: Any) -> bytes:
        """How bad a frame's problem is: ERROR or WARN."""
        return WARN

    def values(self, frame: Any | None) -> dict[str, Any]:
        """What /diagnostics says beside the rest; frame: the last one, if any."""
        return {}

    # Parameters

    def _refusal(self, steering: Steering, changes: Mapping[str, Any]) -> str | None:
        if self._runner is None:  # nothing to ask yet; configuring asks
            return None
        self._runner.check(self._read(self._runner, steering, changes))
        return None

    def _on_change(self, parameters: list[Any]) -> None:
        if self._runner is not None:
            self._request = self._read(self._runner, self.steering.value, {})

    def _read(self, runner: Runner, steering: Steering, changes: Mapping[str, Any]) -> Any:
        def value(name: str) -> Any:
            return changes[name] if name in changes else self.parameter(name)

        return self.request_of(runner, value, steering)

    # Transitions

    def configure(self) -> None:
        if self.parameter("threads"):
            torch.set_num_threads(self.parameter("threads"))
        runner = self.load()
        request = self._read(runner, self.steering.value, {})
        runner.warm_up(request)
        self.forget()
        self._runner, self._request = runner, request
        self.get_logger().info(f"loaded {runner.checkpoint}, {self.steering.value.label()}")

    def activate(self) -> None:
        for topic, kind in self.OUTPUTS.items():
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
        self._subscribe(self.inputs() if self._wanted() else {})

    def _subscribe(self, wanted: Inputs) -> None:
        for topic in set(self._inputs) - set(wanted):
            self.destroy_subscription(self._inputs.pop(topic))
        for topic in set(wanted) - set(self._inputs):
            profile = qos.images(self.parameter("reliability"))
            self._inputs[topic] = self.create_subscription(wanted[topic][0], topic, wanted[topic][1], profile)
            self._since = time.monotonic()
            if topic == IMAGE:
                self.begin()

    def on_image(self, message: Image, info: dict[str, Any]) -> None:
        """Callback of the images."""
        self.take(message, arrival_time(info))

    def offer(self, kind: Callable[..., FrameJob], image: Image, arrival: int, **more: Any) -> None:
        """Work on an image next, if somebody still listens; kind: of the job; more: its further fields."""
        if wanted := self._wanted():
            job = kind(image, arrival, self._session, self._runner, self.current_request, wanted, **more)
            self.statistics.drop(self._worker.offer(job))

    # Outputs

    def _on_done(self, job: FrameJob, outcome: Any) -> None:
        """In the worker's thread."""
        self._finished.append((job, outcome))
        self._guard.trigger()

    def _publish_finished(self) -> None:
        while self._finished:
            job, outcome = self._finished.popleft()
            if job.session == self._session and self._outputs:
                if isinstance(outcome, Exception):
                    self._fail(outcome)
                else:
                    self._publish(job, *outcome)
                self._log_changes()

    def _fail(self, error: Exception) -> None:
        self.statistics.fail()
        told = isinstance(error, ValueError)
        details = "" if told else f" ({type(error).__name__})"
        self._frame_problem = self._last_error = f"no {self.RESULT}: {error}{details}"
        if not told:
            self.get_logger().debug("".join(traceback.format_exception(error)))

    def _publish(self, job: FrameJob, frame: Frame, messages: Mapping[str, Any]) -> None:
        for topic, message in messages.items():
            if topic == "info":  # the last
                message.latency = seconds_to_duration((time.time_ns() - job.arrival) / NANOSECONDS)
            self._outputs[topic].publish(message)
        self.statistics.publish(time.monotonic(), (time.time_ns() - job.arrival) / NANOSECONDS, frame.inference)
        self._frame_problem, self._shown = "", frame
        self._last_error = frame.problem or self._last_error

    # Diagnostics

    def status(self) -> Status:
        self._log_changes()
        level, message = self._verdict()
        statistics = self.statistics
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
        }
        return Status(level, message, {**values, **self.values(self._shown), "last error": self._last_error})

    def _verdict(self) -> tuple[bytes, str]:
        if not self._inputs:
            return OK, "nobody listens"
        if problem := self._frame_problem or self._silence() or self.input_problem():
            return ERROR, problem
        warnings = self._warnings()
        if self._shown is not None and self._shown.problem:
            return self.severity(self._shown), "; ".join([self._shown.problem, *warnings])
        return (WARN, "; ".join(warnings)) if warnings else (OK, "estimating")

    def _warnings(self) -> list[str]:
        request = self._request
        if request is not self._warned[0]:
            self._warned = request, self.warnings_of(request)
        return self._warned[1]

    def _silence(self) -> str:
        """Which topics nobody publishes, once there was time to find a publisher."""
        if time.monotonic() - self._since < qos.DISCOVERY:
            return ""
        return "; ".join(filter(None, (qos.silence(self, each) for each in self._inputs.values())))

    def _log_changes(self) -> None:
        if self._inputs:  # while nobody listens nothing gets better or worse
            level, message = self._verdict()
            self._log.tell(message if level != OK else "", level)

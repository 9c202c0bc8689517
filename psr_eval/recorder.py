"""The recorder node: topics, parameter changes and, for as many episodes as wanted, camera images into one bag."""

from __future__ import annotations

import fnmatch
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile

from psr_eval.bag_writer import BagWriter
from psr_eval.definitions import definition
from psr_eval.environment import environment
from psr_eval.episodes import RESULT
from psr_ros.lifecycle import WARN, Status, SuiteNode, run_alone
from psr_ros.messages import message_class
from psr_ros.qos import RELIABILITIES

TOPICS = [
    "/episode/state:psr_interfaces/msg/EpisodeState",
    f"/episode/result:{RESULT}",
    "/policy/chunk:psr_interfaces/msg/ActionChunk",
    "/parameter_events:rcl_interfaces/msg/ParameterEvent",
    "/clock:rosgraph_msgs/msg/Clock",
    "/joint_states:sensor_msgs/msg/JointState",
    "/ee_pose:geometry_msgs/msg/PoseStamped",
    "/robot*/ee_pose:geometry_msgs/msg/PoseStamped",
    "/objects/*/pose:geometry_msgs/msg/PoseStamped",
    "/task/*:psr_interfaces/msg/TaskFlag",
    "/diagnostics:diagnostic_msgs/msg/DiagnosticArray",
    "/tf",
    "/tf_static",
]
CAMERA_TOPICS = ["/camera/image_raw:sensor_msgs/msg/Image"]
LATCHED = ("/tf_static", "/robot_description")  # sent once, before anybody listens
STATE_DEPTH, CAMERA_DEPTH = 1000, 10
DISCOVERY_PERIOD = 0.5  # seconds, wall clock
LAST_WORDS = 1.0  # seconds, wall clock


@dataclass
class Source:
    """One topic to be recorded."""

    topic: str  # as asked for; remappings apply to it
    type: str  # empty until it is known
    camera: bool = False
    reliability: str = "reliable"
    subscription: Any = None
    refused: str = ""  # why it is not recorded


class Recorder(SuiteNode):
    """Writes a bag from activation to cleanup; deactivating it only pauses the recording.

    Everything up to the last EpisodeResult, and up to `flush_period` seconds ago, is on the disk at any time.
    An error of the disk ends the process with exit code 1; what was flushed before stays readable.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("recorder", **kwargs)
        self.bag: BagWriter | None = None
        self.episodes = 0
        self._sources: list[Source] = []
        self._patterns: list[Source] = []  # with a * in their names, which stand for all topics that match
        self._periodic: list[Any] = []
        self._flushed = 0  # messages in the bag at the last flush
        self.declare("directory", "runs/bag", "Folder of the bag; it must not exist yet.")
        self.declare(
            "topics", TOPICS, "Topics to record: name:type, or a name whose type is looked up; * stands for anything."
        )
        self.declare(
            "camera_topics",
            CAMERA_TOPICS,
            "Topics to record for the first camera_episodes episodes only; empty names are left out.",
        )
        self.declare(
            "camera_episodes", 0, "Episodes whose camera_topics are recorded; -1: all of them.", bounds=(-1, 2**31 - 1)
        )
        self.declare("camera_reliability", "best_effort", "Asked of camera publishers.", choices=RELIABILITIES)
        self.declare("flush_period", 2.0, "Seconds after which everything is on the disk.", bounds=(0.1, 3600.0))

    def configure(self) -> None:
        cameras = self.parameter("camera_topics") if self.parameter("camera_episodes") else []
        sources = [_source(entry) for entry in self.parameter("topics")]
        sources += [_source(entry, True, self.parameter("camera_reliability")) for entry in cameras if entry]
        for source in sources:
            if source.type:
                message_class(source.type), definition(source.type)  # raise here rather than in the middle of a run
        self.bag = BagWriter(Path(self.parameter("directory")).expanduser(), environment())
        self._patterns = [source for source in sources if "*" in source.topic]
        self._sources = [source for source in sources if "*" not in source.topic]
        self.episodes, self._flushed = 0, 0

    def activate(self) -> None:
        self._discover()
        self._periodic = [
            self.create_wall_timer(DISCOVERY_PERIOD, self._discover),
            self.create_wall_timer(self.parameter("flush_period"), self._flush),
        ]
        self.get_logger().info(f"recording into {self.bag.folder if self.bag else ''}")

    def deactivate(self) -> None:
        for timer in self._periodic:
            self.destroy_timer(timer)
        for source in self._sources:
            self._unsubscribe(source)
        self._periodic = []
        self._flush()

    def clean_up(self) -> None:
        if self.bag:
            self.bag.close()
            self.get_logger().info(f"{self.bag.folder}: {self.bag.messages} messages, {self.episodes} episodes")
        self.bag, self._sources, self._patterns = None, [], []

    def shut_down(self) -> None:
        """Everything stops at once when a graph does: take what the others still have to say, then close the bag."""
        end = time.monotonic() + LAST_WORDS
        while self.executor and self.state == "active" and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        super().shut_down()

    def status(self) -> Status:
        assert self.bag is not None  # an active node has one
        recorded = self.bag.topics()
        refused = "; ".join(source.refused for source in self._sources if source.refused)
        silent = [one.topic for one in self._sources if self.resolve_topic_name(one.topic) not in recorded]
        values = {
            "directory": self.bag.folder,
            "messages": self.bag.messages,
            "bytes": self.bag.size,
            "episodes": self.episodes,
            "topics": " ".join(recorded),
            "topics without a message": " ".join(silent),
            "camera": "recording" if any(one.camera and one.subscription for one in self._sources) else "off",
        }
        return Status(WARN, refused, values) if refused else Status(message="recording", values=values)

    def _discover(self) -> None:
        """Subscribe to what is not subscribed to yet and has a type by now."""
        types = dict(self.get_topic_names_and_types())
        known = {one.topic for one in self._sources}
        for pattern in self._patterns:
            matching = fnmatch.filter(types.keys() - known, pattern.topic)
            self._sources += [replace(pattern, topic=name) for name in sorted(matching)]
        waiting = [one for one in self._sources if not one.subscription and not one.refused and not self._done(one)]
        for source in waiting:
            found = types.get(self.resolve_topic_name(source.topic), [])
            if not source.type and len(found) == 1:
                source.type = found[0]
            if source.type:
                self._subscribe(source)
            elif found:
                self._refuse(source, f"it has the types {', '.join(found)}; ask for {source.topic}:<type>")

    def _subscribe(self, source: Source) -> None:
        try:
            definition(source.type)
            source.subscription = self.create_subscription(
                message_class(source.type),
                source.topic,
                partial(self._record, source),
                _qos(source),
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=lambda _: self._loosen(source)),
            )
        except (ValueError, FileNotFoundError) as error:
            self._refuse(source, str(error))

    def _refuse(self, source: Source, reason: str) -> None:
        source.refused = f"{source.topic} is not recorded: {reason}"
        self.get_logger().error(source.refused)

    def _loosen(self, source: Source) -> None:
        """A publisher offers less than was asked for: ask for the least, which connects to everything."""
        self.get_logger().warning(f"{source.topic} is recorded best effort, as one of its publishers offers no more")
        source.reliability = "best_effort"
        self._unsubscribe(source)  # the discovery timer subscribes again

    def _unsubscribe(self, source: Source) -> None:
        if source.subscription:
            self.destroy_subscription(source.subscription)
        source.subscription = None

    def _done(self, source: Source) -> bool:
        return source.camera and 0 <= self.parameter("camera_episodes") <= self.episodes

    def _record(self, source: Source, data: bytes, info: dict[str, int]) -> None:
        assert self.bag is not None  # subscriptions live while the node is active
        name = self.resolve_topic_name(source.topic)
        if name not in self.bag.topics():
            publishers = self.get_publishers_info_by_topic(name)
            self.bag.add_topic(name, source.type, [_profile(publisher.qos_profile) for publisher in publishers])
        received = info["received_timestamp"] or time.time_ns()
        self.bag.write(name, data, received, info["source_timestamp"] or received)
        if source.type == RESULT:
            self.episodes += 1
            self._flush()
            for camera in filter(self._done, self._sources):
                self._unsubscribe(camera)  # without a subscriber the simulator stops rendering

    def _flush(self) -> None:
        if self.bag and not self.bag.closed and self.bag.messages > self._flushed:
            self.bag.flush()
            self._flushed = self.bag.messages


def _source(entry: str, camera: bool = False, reliability: str = "reliable") -> Source:
    topic, _, msgtype = entry.partition(":")
    if not topic or ":" in msgtype or (msgtype and msgtype.count("/") != 2):
        raise ValueError(f"topic is {entry!r}, expected /name or /name:package/msg/Type")
    return Source(topic, msgtype, camera, "best_effort" if topic == "/clock" else reliability)


def _qos(source: Source) -> QoSProfile:
    latched = source.topic in LATCHED and source.reliability == "reliable"
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=CAMERA_DEPTH if source.camera else STATE_DEPTH,
        reliability=RELIABILITIES[source.reliability],
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _profile(qos: QoSProfile) -> dict[str, Any]:
    """A profile in the words of rosbag2's metadata."""
    times = {name: getattr(qos, name).nanoseconds for name in ("deadline", "lifespan", "liveliness_lease_duration")}
    spans = {name: {"sec": span // 10**9, "nsec": span % 10**9} for name, span in times.items()}
    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": spans["deadline"],
        "lifespan": spans["lifespan"],
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": spans["liveliness_lease_duration"],
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(Recorder)


if __name__ == "__main__":
    main()

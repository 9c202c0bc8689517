import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from psr_interfaces.msg import EpisodeResult, EpisodeState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from psr_eval.bag_reader import BagReader, decode  # noqa: E402
from psr_eval.episodes import RESULT, read_contents  # noqa: E402
from psr_eval.recorder import Recorder  # noqa: E402

pytestmark = pytest.mark.ros
DOMAIN = "43"
RESULTS = f"/episode/result:{RESULT}"
CAMERA = "/camera/image_raw"


class Graph:
    """A recorder and a node that publishes to it, spun by the test."""

    def __init__(self, folder):
        self.folder = folder
        self.executor = SingleThreadedExecutor()
        self.node = rclpy.create_node("tester")
        self.executor.add_node(self.node)
        self.recorder = None

    def record(self, **parameters):
        values = {"directory": str(self.folder / "run"), "topics": [RESULTS], **parameters}
        self.recorder = Recorder(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
        self.executor.add_node(self.recorder)
        return self.recorder

    def publisher(self, kind, topic, qos=10):
        return self.node.create_publisher(kind, topic, qos)

    def until(self, done, timeout=20.0):
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"still waiting after {timeout} s"
            self.executor.spin_once(timeout_sec=0.02)

    def connected(self, *publishers):
        self.until(lambda: all(publisher.get_subscription_count() for publisher in publishers))

    def recorded(self, count):
        self.until(lambda: self.recorder.bag is not None and self.recorder.bag.messages >= count)

    def finish(self):
        """Shut the recorder down and read its bag: (messages, what was lost)."""
        self.recorder.trigger_shutdown()
        reader = BagReader(self.folder / "run")
        return list(reader.messages()), reader.losses

    def close(self):
        self.executor.shutdown()
        for node in filter(None, [self.recorder, self.node]):
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def graph(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", DOMAIN)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[])
    made = Graph(tmp_path)
    yield made
    made.close()


class TestRecording:
    def test_what_was_published_is_in_the_bag(self, graph):
        graph.record(topics=[RESULTS, "/episode/state:psr_interfaces/msg/EpisodeState"])
        results = graph.publisher(EpisodeResult, "/episode/result")
        states = graph.publisher(EpisodeState, "/episode/state")
        graph.connected(results, states)
        before = time.time_ns()
        for seed in range(3):
            states.publish(EpisodeState(seed=seed, task="Lift"))
            results.publish(EpisodeResult(seed=seed, task="Lift"))
        graph.recorded(6)
        messages, losses = graph.finish()
        assert losses == []
        assert [decode(m).seed for m in messages if m.type == RESULT] == [0, 1, 2]
        assert [decode(m).seed for m in messages if m.type != RESULT] == [0, 1, 2]
        assert all(before <= m.publish_time <= m.log_time <= time.time_ns() for m in messages)

    def test_metadata_has_the_publishers_qos_and_the_hash_of_the_graph(self, graph):
        graph.record()
        results = graph.publisher(EpisodeResult, "/episode/result", 7)
        graph.connected(results)
        results.publish(EpisodeResult())
        graph.recorded(1)
        endpoint = graph.node.get_publishers_info_by_topic("/episode/result")[0]
        graph.finish()
        content = yaml.safe_load((graph.folder / "run" / "metadata.yaml").read_text())
        (topic,) = content["rosbag2_bagfile_information"]["topics_with_message_count"]
        (profile,) = topic["topic_metadata"]["offered_qos_profiles"]
        assert (profile["reliability"], profile["durability"]) == ("reliable", "volatile")
        assert topic["topic_metadata"]["type_description_hash"] == str(endpoint.topic_type_hash)
        assert content["rosbag2_bagfile_information"]["custom_data"]["python"]

    def test_parameter_changes_are_recorded_with_their_values(self, graph):
        graph.record(topics=["/parameter_events:rcl_interfaces/msg/ParameterEvent"])
        graph.node.declare_parameter("steering.k", 1.0)
        graph.until(lambda: graph.node.count_subscribers("/parameter_events"))
        values = []

        def changed():
            graph.node.set_parameters([Parameter("steering.k", value=float(len(values) + 2))])
            values.append(len(values) + 2)
            graph.executor.spin_once(timeout_sec=0.1)
            return graph.recorder.bag is not None and graph.recorder.bag.messages > 2

        graph.until(changed)
        graph.recorder.trigger_shutdown()
        found = [value.value for value in read_contents(graph.folder / "run").parameters if value.node == "/tester"]
        assert found
        assert set(found) <= set(map(float, values))

    def test_a_topic_without_a_type_is_looked_up(self, graph):
        graph.record(topics=["/later"])
        graph.until(lambda: graph.recorder.state == "active")
        texts = graph.publisher(String, "/later")
        graph.connected(texts)
        texts.publish(String(data="found"))
        graph.recorded(1)
        (message,), _ = graph.finish()
        assert (message.type, decode(message).data) == ("std_msgs/msg/String", "found")

    def test_a_publisher_that_offers_less_is_recorded_all_the_same(self, graph):
        graph.record(topics=["/sensor:std_msgs/msg/String"])
        texts = graph.publisher(String, "/sensor", QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))

        def received():
            texts.publish(String(data="lossy"))
            graph.executor.spin_once(timeout_sec=0.05)
            return graph.recorder.bag is not None and graph.recorder.bag.messages

        graph.until(received)
        assert decode(graph.finish()[0][0]).data == "lossy"

    def test_latched_topics_are_received_although_sent_before(self, graph):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        texts = graph.publisher(String, "/robot_description", latched)
        texts.publish(String(data="<robot/>"))
        graph.record(topics=["/robot_description"])
        graph.recorded(1)
        assert decode(graph.finish()[0][0]).data == "<robot/>"

    def test_remapped_topics_are_recorded_under_their_real_name(self, graph):
        values = [Parameter("directory", value=str(graph.folder / "run")), Parameter("topics", value=[RESULTS])]
        graph.recorder = Recorder(
            parameter_overrides=values, cli_args=["--ros-args", "-r", "/episode/result:=/arm/result"]
        )
        graph.executor.add_node(graph.recorder)
        results = graph.publisher(EpisodeResult, "/arm/result")
        graph.connected(results)
        results.publish(EpisodeResult(seed=4))
        graph.recorded(1)
        assert [message.topic for message in graph.finish()[0]] == ["/arm/result"]

    def test_a_result_puts_everything_on_the_disk_at_once(self, graph):
        graph.record(flush_period=3600.0)
        results = graph.publisher(EpisodeResult, "/episode/result")
        graph.connected(results)
        results.publish(EpisodeResult(seed=9))
        graph.recorded(1)
        assert [decode(m).seed for m in BagReader(graph.folder / "run").messages()] == [9]

    def test_other_messages_follow_after_the_flush_period(self, graph):
        graph.record(topics=["/text:std_msgs/msg/String"], flush_period=0.2)
        texts = graph.publisher(String, "/text")
        graph.connected(texts)
        texts.publish(String(data="soon"))
        graph.until(lambda: list(BagReader(graph.folder / "run").messages()))

    def test_deactivating_pauses(self, graph):
        graph.record(topics=["/text:std_msgs/msg/String"])
        texts = graph.publisher(String, "/text")
        graph.connected(texts)
        texts.publish(String(data="first"))
        graph.recorded(1)
        graph.recorder.trigger_deactivate()
        graph.until(lambda: not texts.get_subscription_count())
        texts.publish(String(data="unheard"))
        graph.recorder.trigger_activate()
        graph.connected(texts)
        texts.publish(String(data="second"))
        graph.recorded(2)
        assert [decode(message).data for message in graph.finish()[0]] == ["first", "second"]


class TestCamera:
    def test_is_recorded_for_as_many_episodes_as_wanted(self, graph):
        graph.record(camera_episodes=2)
        results = graph.publisher(EpisodeResult, "/episode/result")
        images = graph.publisher(Image, CAMERA, 1)
        graph.connected(results, images)
        results.publish(EpisodeResult(seed=1))
        graph.recorded(1)
        graph.connected(images)
        images.publish(Image(height=1, width=1, encoding="mono8", step=1, data=[7]))
        graph.recorded(2)
        results.publish(EpisodeResult(seed=2))
        graph.until(lambda: images.get_subscription_count() == 0)
        self.wait_for_discovery(graph)
        assert images.get_subscription_count() == 0  # for good: that is what lets the simulator stop rendering
        messages, _ = graph.finish()
        assert [message.topic for message in messages] == ["/episode/result", CAMERA, "/episode/result"]
        assert decode(messages[1]).data.tolist() == [7]

    def test_is_not_subscribed_to_by_default(self, graph):
        graph.record()
        images = graph.publisher(Image, CAMERA, 1)
        graph.connected(graph.publisher(EpisodeResult, "/episode/result"))
        self.wait_for_discovery(graph)
        assert images.get_subscription_count() == 0

    def test_can_be_recorded_throughout(self, graph):
        graph.record(camera_episodes=-1)
        results = graph.publisher(EpisodeResult, "/episode/result")
        images = graph.publisher(Image, CAMERA, 1)
        graph.connected(results, images)
        for seed in range(3):
            results.publish(EpisodeResult(seed=seed))
        graph.recorded(3)
        self.wait_for_discovery(graph)
        assert images.get_subscription_count() == 1

    def wait_for_discovery(self, graph):
        """Two rounds of the timer that subscribes to what is missing."""
        rounds = []
        graph.recorder.create_wall_timer(0.6, lambda: rounds.append(1))
        graph.until(lambda: len(rounds) >= 2)


class TestDiagnostics:
    def status(self, graph, accept=lambda status: True):
        found = []
        graph.node.create_subscription(
            DiagnosticArray,
            "/diagnostics",
            lambda array: found.extend(s for s in array.status if s.name == "recorder" and accept(s)),
            10,
        )
        graph.until(lambda: found)
        return found[0], {value.key: value.value for value in found[0].values}

    def test_say_how_much_was_recorded(self, graph):
        graph.record(topics=[RESULTS, "/text:std_msgs/msg/String"])
        results = graph.publisher(EpisodeResult, "/episode/result")
        graph.connected(results)
        results.publish(EpisodeResult())
        graph.recorded(1)
        status, values = self.status(graph, lambda s: any(v.key == "episodes" and v.value == "1" for v in s.values))
        assert status.level == DiagnosticStatus.OK
        assert values["messages"] == "1"
        assert int(values["bytes"]) > 500
        assert values["topics without a message"] == "/text"
        assert values["camera"] == "off"

    def test_say_what_cannot_be_recorded(self, graph):
        texts = graph.publisher(String, "/two")
        other = rclpy.Context()  # one participant cannot have a topic of two types
        other.init(args=[])
        node = rclpy.create_node("other", context=other)
        try:
            node.create_publisher(Image, "/two", 10)
            graph.until(lambda: len(graph.node.get_publishers_info_by_topic(texts.topic_name)) == 2)
            graph.record(topics=[RESULTS, "/two"])
            status, _ = self.status(graph, lambda status: "/two" in status.message)
        finally:
            node.destroy_node()
            other.try_shutdown()
        assert status.level == DiagnosticStatus.WARN
        assert "ask for /two:<type>" in status.message


class TestRefusals:
    @pytest.mark.parametrize(
        "parameters, words",
        [
            ({"topics": ["/a:b"]}, "expected /name or /name:package/msg/Type"),
            ({"topics": ["/a:no_such_msgs/msg/Thing"]}, "no_such_msgs/msg/Thing is not installed"),
        ],
    )
    def test_wrong_topics_are_named(self, graph, parameters, words):
        graph.record(**parameters)
        graph.until(lambda: graph.recorder.last_error)
        assert words in graph.recorder.last_error
        assert graph.recorder.state == "unconfigured"
        assert not (graph.folder / "run").exists()

    def test_an_existing_bag_is_kept_and_the_cure_named(self, graph):
        (graph.folder / "run").mkdir()
        graph.record()
        graph.until(lambda: graph.recorder.last_error)
        assert "name another one or delete it" in graph.recorder.last_error
        assert graph.recorder.state == "unconfigured"
        assert list((graph.folder / "run").iterdir()) == []


class TestProcess:
    """The recorder as it runs in a graph: a process that is interrupted, killed, or out of disk."""

    @pytest.fixture
    def start(self, graph):
        processes = []

        def start(limit=None):
            arguments = ["-p", f"directory:={graph.folder / 'run'}", "-p", f'topics:=["{RESULTS}"]']
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "psr_eval.recorder", "--ros-args", *arguments],
                    env=os.environ | {"ROS_DOMAIN_ID": DOMAIN},
                    stderr=subprocess.PIPE,
                    text=True,
                    preexec_fn=limit,
                )
            )
            return processes[-1]

        yield start
        for process in processes:
            process.kill()
            process.communicate()

    def publish(self, graph, count, **fields):
        results = graph.publisher(EpisodeResult, "/episode/result", 1000)
        graph.connected(results)
        for seed in range(count):
            results.publish(EpisodeResult(seed=seed, **fields))
        return results

    def seeds(self, graph):
        try:
            return [decode(message).seed for message in BagReader(graph.folder / "run").messages()]
        except FileNotFoundError:
            return []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_finishes_the_bag(self, graph, start, number):
        process = start()
        self.publish(graph, 3)
        graph.until(lambda: len(self.seeds(graph)) == 3)
        process.send_signal(number)
        assert process.wait(10) == 0
        reader = BagReader(graph.folder / "run")
        assert len(list(reader.messages())) == 3
        assert reader.losses == []

    def test_a_kill_costs_nothing_that_was_finished(self, graph, start):
        process = start()
        self.publish(graph, 3)
        graph.until(lambda: len(self.seeds(graph)) == 3)
        process.kill()
        process.wait(10)
        contents = read_contents(graph.folder / "run")
        assert [one.seed for one in contents.episodes] == [0, 1, 2]
        assert "ends without a footer" in contents.losses[0]
        assert contents.custom_data["python"]

    def test_a_full_disk_ends_it_with_an_error(self, graph, start):
        process = start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
        self.publish(graph, 100, reason=os.urandom(600).hex())
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "File too large" in errors
        assert "free some space" in errors
        seeds = self.seeds(graph)
        assert seeds == list(range(len(seeds)))
        assert len(seeds) > 5

"""What every node of the suite promises: it starts itself, says what is wrong, answers everything, and ends cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from psr_ros.lifecycle import ERROR, OK, WARN, Status, SuiteNode  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Robot(SuiteNode):
    """Notes what happens to it; refuses to configure without a file."""

    def __init__(self, **given):
        self.log = []
        super().__init__("robot", parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
        self.declare("file", "arm.yaml", "What it needs.")
        self.declare("speed", 1.0, "How fast.", bounds=(0.0, 2.0), live=True)
        self.declare("mode", "slow", "Which way.", choices=("slow", "fast"), live=True)

    def configure(self):
        self.log.append("configure")
        if self.parameter("file") == "missing.yaml":
            raise FileNotFoundError("missing.yaml does not exist; give another file")

    def activate(self):
        self.log.append("activate")
        self.timer = self.create_wall_timer(10.0, lambda: None)

    def deactivate(self):
        self.log.append("deactivate")
        self.destroy_timer(self.timer)

    def clean_up(self):
        self.log.append("clean up")

    def check_parameter(self, name, value):
        if name == "mode" and value == "fast" and "activate" in self.log:
            raise ValueError("fast is too fast")

    def status(self):
        return Status(WARN, "slightly bent", {"joints": 7})


@pytest.fixture
def watched(graph):
    """watched(**parameters) -> (node, its diagnostics as they come, a function that requests a transition)."""

    def make(**given):
        node = graph.add(Robot(**given))
        hand = graph.add(rclpy.create_node("hand"))
        heard = []
        hand.create_subscription(DiagnosticArray, "/diagnostics", lambda m: heard.append(m.status[0]), 10)
        client = hand.create_client(ChangeState, "/robot/change_state")
        graph.until(client.service_is_ready)

        def change(number=0, label=""):
            request = ChangeState.Request(transition=Transition(id=number, label=label))
            return graph.answer(client.call_async(request)).success

        return node, heard, change

    return make


class TestStart:
    def test_it_starts_itself(self, graph):
        node = graph.add(Robot())
        graph.until(lambda: node.state == "active")
        assert node.log == ["configure", "activate"]

    def test_it_waits_when_told_to(self, graph, watched):
        node, heard, change = watched(autostart=False)
        graph.until(lambda: heard)
        assert node.state == "unconfigured"
        assert heard[-1].level == WARN
        assert change(Transition.TRANSITION_CONFIGURE)
        assert change(label="activate")
        assert node.state == "active"

    def test_a_refused_configure_is_reported_and_can_be_repeated(self, graph, watched):
        node, heard, change = watched(file="missing.yaml")
        graph.until(lambda: heard and heard[-1].level == ERROR)
        assert heard[-1].message == "cannot configure: missing.yaml does not exist; give another file"
        assert node.state == "unconfigured"
        assert node.log == ["configure", "clean up"]
        assert node.set_parameters([Parameter("file", value="arm.yaml")])[0].successful
        assert change(Transition.TRANSITION_CONFIGURE)
        assert node.last_error == ""


class TestTransitions:
    def test_the_whole_circle(self, graph, watched):
        node, _, change = watched(autostart=False)
        for label in ("configure", "activate", "deactivate", "cleanup", "configure", "activate", "shutdown"):
            assert change(label=label), label
        assert node.state == "finalized"
        circle = ["configure", "activate", "deactivate", "clean up"]
        assert node.log == circle * 2

    @pytest.mark.parametrize(
        "asked",
        [{"number": Transition.TRANSITION_ACTIVATE}, {"label": "activate"}, {"label": "fly"}, {"number": 250}],
    )
    def test_an_impossible_one_is_answered_with_no(self, graph, watched, asked):
        node, _, change = watched(autostart=False)
        assert change(**asked) is False
        assert node.state == "unconfigured"
        assert change(label="configure")


class TestDiagnostics:
    def test_say_how_an_active_node_is(self, graph, watched):
        _, heard, _ = watched()
        graph.until(lambda: heard and heard[-1].message == "slightly bent")
        assert heard[-1].level == WARN
        assert heard[-1].name == "robot"
        assert {v.key: v.value for v in heard[-1].values} == {"state": "active", "joints": "7"}

    def test_a_status_is_well_unless_told_otherwise(self):
        assert Status().level == OK


class TestParameters:
    def test_most_are_fixed_once_configured(self, graph):
        node = graph.add(Robot())
        graph.until(lambda: node.state == "active")
        result = node.set_parameters([Parameter("file", value="leg.yaml")])[0]
        assert not result.successful
        assert "deactivate and clean up" in result.reason
        assert node.parameter("file") == "arm.yaml"
        assert node.set_parameters([Parameter("speed", value=2)])[0].successful
        assert node.parameter("speed") == 2.0

    def test_the_node_has_the_last_word(self, graph):
        node = graph.add(Robot())
        graph.until(lambda: node.state == "active")
        result = node.set_parameters([Parameter("mode", value="fast")])[0]
        assert (result.successful, result.reason) == (False, "fast is too fast")

    def test_their_limits_can_be_read(self, graph):
        node = graph.add(Robot(autostart=False))
        assert node.describe_parameter("speed").floating_point_range[0].to_value == 2.0
        assert node.describe_parameter("mode").additional_constraints == "one of: slow, fast"
        assert node.describe_parameter("file").additional_constraints == "only while the node is unconfigured"


SCRIPT = """
import signal, sys, time
from std_msgs.msg import String
from psr_ros.lifecycle import SuiteNode, run_node

class Passing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

class Patient(SuiteNode):
    def __init__(self):
        super().__init__("patient")
        if "missing" in sys.argv:
            raise ValueError("no such arm; plug it in")
        if "broken" in sys.argv:
            raise AttributeError("a mistake of ours")
        self.last_words = self.create_publisher(String, "/last_words", 10)
    def activate(self):
        print("active", flush=True)
        if "busy" in sys.argv:
            self.create_wall_timer(0.0, lambda: time.sleep(60))
        if "passing" in sys.argv:
            self.create_wall_timer(0.0, lambda: Passing() and None)
        self.timer = self.create_wall_timer(0.02, self.look)
    def look(self):
        if self.last_words.get_subscription_count():
            print("somebody listens", flush=True)
            self.timer.cancel()
    def deactivate(self):
        self.last_words.publish(String(data="farewell"))

sys.exit(run_node(Patient))
"""


class TestRunNode:
    @pytest.fixture
    def process(self, graph, tmp_path):
        """process(*words) -> a running node process, past its activation."""
        script = tmp_path / "patient.py"
        script.write_text(SCRIPT)
        started = []

        def start(*words):
            command = [sys.executable, str(script), *words]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
            return started[-1]

        yield start
        for one in started:
            if one.poll() is None:
                one.kill()
            one.communicate()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("words", [(), ("busy",)])
    def test_ends_with_code_0_on_a_signal(self, process, number, words):
        one = process(*words)
        assert one.stdout.readline() == "active\n"
        one.send_signal(number)
        assert one.wait(5) == 0

    def test_is_silent_about_a_signal_that_comes_where_exceptions_are_lost(self, process):
        one = process("passing")
        assert one.wait(10) == 0
        assert one.stderr.read() == ""

    def test_a_second_ctrl_c_does_no_harm(self, process):
        one = process()
        assert one.stdout.readline() == "active\n"
        for _ in range(4):
            if one.poll() is None:
                one.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert one.wait(5) == 0

    def test_the_node_is_deactivated_while_the_graph_still_hears_it(self, graph, process):
        heard = []
        hand = graph.add(rclpy.create_node("hand"))
        hand.create_subscription(String, "/last_words", lambda m: heard.append(m.data), 10)
        one = process()
        assert one.stdout.readline() == "active\n"
        assert one.stdout.readline() == "somebody listens\n"
        one.send_signal(signal.SIGINT)
        graph.until(lambda: heard)
        assert heard == ["farewell"]
        assert one.wait(5) == 0

    def test_says_why_it_cannot_start(self, process):
        one = process("missing")
        assert one.wait(10) == 1
        text = one.stderr.read()
        assert "no such arm; plug it in" in text
        assert "Traceback" not in text

    def test_shows_where_an_unexpected_error_came_from(self, process):
        one = process("broken")
        assert one.wait(10) == 1
        text = one.stderr.read()
        assert "a mistake of ours" in text
        assert "in __init__" in text

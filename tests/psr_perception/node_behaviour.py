"""What every perception node does alike, as tests that each node's own test module takes on.

Its fixture `setup(wait, listens, **values of parameters)` returns a graph, a node, and a Robot; `gate` is a Gate in the
place of the node's work; `connect(graph, node, robot)` returns once they hear each other.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.lifecycle import ERROR, OK
from tests.psr_perception.robot import ask, hear, picture, stamp_of, stamps

ROOT = Path(__file__).resolve().parents[2]


class NewestFrame:
    """Tests of which frames are worked on."""

    def test_wins_and_the_others_are_counted(self, setup, gate):
        graph, node, robot = setup()
        robot.show(1)
        graph.until(lambda: gate.begun)
        for number in range(2, 7):
            robot.show(number)
            graph.until(lambda number=number: self.waiting(node) == [stamp_of(number)])
        gate.open(2)
        hear(graph, robot, count=2)
        assert stamps(robot.heard["info"]) == [stamp_of(1), stamp_of(6)]
        assert gate.begun == [stamp_of(1), stamp_of(6)]
        values = node.status().values
        assert (values["published"], values["dropped"]) == (2, 4)
        assert float(values["drop rate"]) == pytest.approx(4 / 6, abs=0.01)
        assert float(values["latency p95 (s)"]) > 0

    def waiting(self, node):
        return stamps(job.image for job in list(node._worker._waiting))

    def test_being_worked_on_leaves_the_node_free_to_answer(self, setup, gate, connect):
        graph, node, robot = setup()
        robot.show(1)
        graph.until(lambda: gate.begun)
        assert ask(graph, robot, steering__k=2.0).successful
        node.publish_diagnostics()
        graph.until(lambda: robot.diagnostics)
        node.trigger_deactivate()
        assert node.state == "inactive"
        node.trigger_activate()
        gate.open()
        graph.until(lambda: not node._worker.busy and not node._finished)
        connect(graph, node, robot)
        robot.show(2)
        gate.open()
        hear(graph, robot)
        assert stamps(robot.heard["info"]) == [stamp_of(2)]

    def test_is_not_worked_on_when_nobody_listens(self, setup, gate, connect):
        gate.open(100)
        graph, node, robot = setup(wait=False, listens=())
        graph.until(lambda: node.state == "active")
        robot.show(1)
        node.publish_diagnostics()
        graph.until(lambda: robot.diagnostics and robot.diagnostics[-1].message == "nobody listens")
        assert not robot.image.get_subscription_count()
        robot.ears["info"] = robot.listen("info")
        connect(graph, node, robot)
        robot.show(2)
        hear(graph, robot)
        robot.destroy_subscription(robot.ears.pop("info"))
        graph.until(lambda: not node._wanted())
        robot.show(3)
        graph.until(lambda: not robot.image.get_subscription_count())
        assert gate.begun == [stamp_of(2)]

    @pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
    def test_comes_from_a_camera_of_either_reliability(self, setup, reliability):
        graph, _, robot = setup(robot_reliability=reliability, reliability=reliability)
        robot.show(1)
        hear(graph, robot)


class BadImages:
    """Tests that the node says what is wrong, stays up, and goes on with the next good image."""

    @pytest.mark.parametrize(
        ("encoding", "complaint"),
        [("32FC1", "image encoding is '32FC1', expected rgb8"), ("rgb8", "expected at least 144 for width 48")],
        ids=["encoding", "step"],
    )
    def test_image(self, setup, encoding, complaint):
        graph, node, robot = setup()
        if encoding == "32FC1":
            message = to_image(picture(0)[:, :, 0].astype("f4"), encoding)
        else:
            message = to_image(picture(0), encoding)
            message.step = 100
        robot.show(1, message)
        graph.until(lambda: node.status().level == ERROR)
        assert complaint in node.status().message
        assert node.status().values["failed"] == 1
        robot.show(2)
        hear(graph, robot)
        assert node.status().level == OK
        assert complaint in node.status().values["last error"]

    def test_a_topic_that_nobody_publishes(self, setup, monkeypatch):
        monkeypatch.setattr(qos, "DISCOVERY", 0.1)
        graph, node, robot = setup()
        robot.destroy_publisher(robot.image)
        graph.until(lambda: "nobody publishes /image" in node.status().message)
        assert node.status().level == ERROR


def check_refusals(graph, node, robot, refused):
    """refused: (changes, pattern of the reason), each of which leaves the node's request as it is."""
    graph.until(lambda: node.state == "active")
    before = node._request
    for changes, reason in refused:
        result = ask(graph, robot, **changes)
        assert not result.successful, changes
        assert re.search(reason, result.reason), result.reason
        assert node._request == before


def check_unconfigured(graph, node, robot, complaint):
    """The node has refused to be configured, has said why, and is as it was."""
    graph.until(lambda: node.last_error)
    assert complaint in node.last_error
    assert node.state == "unconfigured"
    graph.until(lambda: any(complaint in status.message and status.level == ERROR for status in robot.diagnostics))


def check_descriptions(node, least):
    """Every parameter says what it is; there are at least so many."""
    own = [name for name in node._parameters if name not in ("use_sim_time", "start_type_description_service")]
    assert len(own) >= least
    assert [name for name in own if not node.describe_parameter(name).description] == []


def check_process(module, values, line):
    """A process of the module, with parameters by name, says the line once it is configured, and ends on SIGTERM."""
    arguments = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", module, "--ros-args", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert any(line in each for each in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0

"""The mesh node on a real graph, with a build that the test lets go on step by step."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from action_msgs.msg import GoalStatus  # noqa: E402
from psr_interfaces.action import BuildMesh  # noqa: E402
from psr_interfaces.msg import MeshAsset  # noqa: E402
from psr_interfaces.msg import Steering as SteeringMessage  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_mesh import node as mesh_node  # noqa: E402
from psr_mesh.builder import Progress, Stopped  # noqa: E402
from psr_mesh.catalogue import CATALOGUE, Entry  # noqa: E402
from psr_mesh.node import MeshNode  # noqa: E402
from psr_ros import qos  # noqa: E402
from psr_ros.images import from_image  # noqa: E402
from psr_ros.lifecycle import OK, WARN  # noqa: E402
from psr_ros.messages import steering_from_message, steering_to_message  # noqa: E402
from tests.psr_core.distillation.tiny_priors import tiny_text_to_image  # noqa: E402
from tests.psr_ros.graph import ros_graph  # noqa: E402

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
STEPS = 4


class StandIn:
    """build_mesh, but for the work: a step for every release, each with a picture; keeps what it did for a folder."""

    def __init__(self):
        self.calls, self.steps, self.gate = [], {}, threading.Semaphore(0)

    def __call__(self, settings, prior, work, catalogue, name, *, should_stop, progress, preview_every, asset):
        self.calls.append((settings, prior, work, catalogue, name, asset))
        if settings.prompt == "nothing":
            raise ValueError("nothing is left of the object")
        while self.steps.setdefault(work, 0) < STEPS:
            while not self.gate.acquire(timeout=0.02):
                if should_stop():
                    raise Stopped(f"stopped at iteration {self.steps[work]} of {STEPS}")
            self.steps[work] += 1
            progress(Progress("distillation", self.steps[work], STEPS, None, PICTURE))
        return Entry(name, made={"prompt": settings.prompt})


class Asker(Node):
    """Sends goals and hears what becomes of them."""

    def __init__(self, graph):
        super().__init__("asker")
        self.graph, self.feedback = graph, []
        self.action = ActionClient(self, BuildMesh, "/mesh/build")

    def send(self, prompt="a red mug", **fields):
        goal = BuildMesh.Goal(prompt=prompt, **fields)
        sent = self.action.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))
        return self.graph.answer(sent)

    def result(self, handle):
        answer = self.graph.answer(handle.get_result_async())
        return answer.status, answer.result


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return tiny_text_to_image(tmp_path_factory.mktemp("prior") / "tiny")


@pytest.fixture
def build(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(mesh_node, "build_mesh", stand_in)
    return stand_in


@pytest.fixture
def setup(ros_domain, prior, tmp_path, build):
    """setup(**values of parameters) -> graph, node, asker; the node is active unless it refuses."""
    with ros_graph() as graph:

        def setup(wait=True, **values):
            given = {"prior": str(prior), "catalogue": str(tmp_path / "catalogue"), "work": str(tmp_path / "work")}
            overrides = [Parameter(name, value=value) for name, value in {**given, **values}.items()]
            node, asker = graph.add(MeshNode(parameter_overrides=overrides)), graph.add(Asker(graph))
            if wait:
                graph.until(lambda: node.state == "active" and asker.action.server_is_ready())
                graph.until(lambda: node.count_subscribers("/mesh/build/_action/feedback"))  # the other way, too
            return graph, node, asker

        yield setup


class TestABuild:
    def test_tells_how_far_it_is_and_what_it_made(self, setup, build, tmp_path):
        graph, node, asker = setup()
        steering = Steering(k=2.0, sigma=0.5)
        handle = asker.send(seed=3, steering=steering_to_message(steering), options='{"steps": 9}')
        told = self.steps_told(graph, build, asker, STEPS - 1)
        assert told == [("distillation", step, STEPS) for step in range(1, STEPS)]
        build.gate.release()
        status, result = asker.result(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED and result.success and result.message == ""
        folder = tmp_path / "catalogue" / "a_red_mug_3"
        assert (result.name, result.folder, result.mjcf) == ("a_red_mug_3", str(folder), str(folder / "object.xml"))
        assert json.loads(result.entry)["made"] == {"prompt": "a red mug"}
        assert math.isnan(asker.feedback[0].seconds_left)
        assert from_image(asker.feedback[0].preview).tolist() == PICTURE.tolist()
        settings, _, work, *_ = build.calls[0]
        assert (settings.steering, settings.steps, work) == (steering, 9, tmp_path / "work" / "a_red_mug_3")

    def steps_told(self, graph, build, asker, more):
        """Let so many steps pass; what was told until then. (rclpy's client is deaf to feedback beside the result.)"""
        expected = len(asker.feedback) + more
        build.gate.release(more)
        graph.until(lambda: len(asker.feedback) == expected)
        return [(each.stage, each.step, each.steps) for each in asker.feedback]

    def test_is_announced_to_who_comes_late_too(self, setup, build):
        graph, node, asker = setup()
        build.gate.release(STEPS)
        node.set_parameters([Parameter("steering.k", value=3.0)])
        asker.result(asker.send(seed=1, name="mug"))
        heard = []
        asker.create_subscription(MeshAsset, "/mesh/asset", heard.append, qos.latched())
        graph.until(lambda: heard)
        (asset,) = heard
        assert (asset.name, asset.prompt, asset.seed, asset.method) == ("mug", "a red mug", 1, "dsd")
        assert steering_from_message(asset.steering) == Steering(k=3.0)  # the node's, as the goal had none
        assert asset.mjcf.endswith("/catalogue/mug/object.xml")

    def test_leaves_the_node_free_to_answer_and_refuses_another(self, setup, build):
        graph, node, asker = setup()
        first = asker.send()
        status, result = asker.result(asker.send("a blue chair"))
        assert status == GoalStatus.STATUS_ABORTED and not result.success
        assert result.message == "a_red_mug_0 is being built; wait for it, or cancel it"
        assert "building a_red_mug_0" in node.status().message
        build.gate.release(STEPS)
        assert asker.result(first)[0] == GoalStatus.STATUS_SUCCEEDED
        build.gate.release(STEPS)
        assert asker.result(asker.send("a blue chair", name="chair"))[1].success
        assert [call[4] for call in build.calls] == ["a_red_mug_0", "chair"]

    def test_that_is_cancelled_goes_on_where_it_was(self, setup, build, tmp_path):
        graph, node, asker = setup()
        handle = asker.send()
        build.gate.release(2)
        graph.until(lambda: len(asker.feedback) == 2)
        graph.answer(handle.cancel_goal_async())
        status, result = asker.result(handle)
        assert (status, result.message) == (
            GoalStatus.STATUS_CANCELED,
            f"stopped at iteration 2 of {STEPS}; the same goal goes on",
        )
        handle = asker.send()
        assert [step for _, step, _ in self.steps_told(graph, build, asker, 1)] == [1, 2, 3]
        build.gate.release()
        assert asker.result(handle)[1].success

    def test_is_stopped_with_the_node_and_goes_on_with_it(self, setup, build):
        graph, node, asker = setup()
        handle = asker.send()
        graph.until(lambda: build.calls)
        node.trigger_deactivate()
        status, result = asker.result(handle)
        assert status == GoalStatus.STATUS_ABORTED and "the same goal goes on" in result.message
        assert asker.result(asker.send())[1].message == "the node is inactive, expected active"
        node.trigger_activate()
        build.gate.release(STEPS)
        assert asker.result(asker.send())[1].success

    def test_that_fails_says_why_and_the_next_one_may_fare_better(self, setup, build):
        graph, node, asker = setup()
        status, result = asker.result(asker.send("nothing"))
        assert (status, result.message) == (GoalStatus.STATUS_ABORTED, "nothing is left of the object")
        assert node.status().level == WARN and "nothing is left" in node.status().message
        build.gate.release(STEPS)
        assert asker.result(asker.send())[1].success
        assert node.status().level == OK


class TestBadInput:
    def test_goals_are_refused_by_name_and_nothing_begins(self, setup, build):
        graph, node, asker = setup()
        for fields, complaint in (
            ({"prompt": " "}, "prompt is empty"),
            ({"method": "magic"}, "magic"),
            ({"name": "a/b"}, "name is 'a/b'"),
            ({"options": "steps"}, "options are 'steps'"),
            ({"steering": SteeringMessage(k=-1.0, sigma=1.0, method="psr", integrator="plain")}, "k is -1"),
        ):
            status, result = asker.result(asker.send(**fields))
            assert status == GoalStatus.STATUS_ABORTED, fields
            assert complaint in result.message
        assert build.calls == []

    def test_a_broken_catalogue_or_a_prior_that_is_none_leave_the_node_unconfigured(self, setup, tmp_path):
        (tmp_path / "catalogue").mkdir()
        (tmp_path / "catalogue" / CATALOGUE).write_text("{")
        graph, node, asker = setup(wait=False)
        graph.until(lambda: node.last_error)
        assert node.state == "unconfigured" and "catalogue.json is not readable" in node.last_error

    def test_a_missing_prior_is_named(self, setup, tmp_path):
        graph, node, asker = setup(wait=False, prior=str(tmp_path / "none"))
        graph.until(lambda: node.last_error)
        assert node.state == "unconfigured" and str(tmp_path / "none") in node.last_error


def test_parameters_say_what_they_are(setup):
    graph, node, asker = setup()
    own = [name for name in node._parameters if name not in ("use_sim_time", "start_type_description_service")]
    assert [name for name in own if not node.describe_parameter(name).description] == []

"""The dial through the real parameter service: what is accepted, what is refused, and that the old value stays."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.parameter_client import AsyncParameterClient  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_ros.lifecycle import SuiteNode  # noqa: E402
from psr_ros.steering_parameters import SteeringParameters  # noqa: E402


class Dial(SuiteNode):
    """Cannot take nns on a sampler without noise, as a policy cannot."""

    def __init__(self, default=None, **overrides):
        given = [Parameter(f"steering.{name}", value=value) for name, value in overrides.items()]
        super().__init__("dial", parameter_overrides=given)
        self.declare("sampler", "ddim", "With ddpm there is noise.", live=True)
        self.steering = SteeringParameters(self, default, self.refusal)

    def refusal(self, steering, changes):
        silent = changes.get("sampler", self.parameter("sampler")) == "ddim"
        return "nns needs noise" if silent and steering.method == "nns" else None


@pytest.fixture
def dial(graph):
    return graph.add(Dial())


@pytest.fixture
def request_set(graph, dial):
    client = AsyncParameterClient(graph.add(rclpy.create_node("hand")), "dial")
    graph.until(client.services_are_ready)

    def request_set(atomically=False, sampler=None, **values):
        send = client.set_parameters_atomically if atomically else client.set_parameters
        others = [Parameter("sampler", value=sampler)] if sampler else []
        future = send(others + [Parameter(f"steering.{name}", value=value) for name, value in values.items()])
        response = graph.answer(future)
        return response.result if atomically else response.results[0]

    return request_set


class TestAccepted:
    def test_a_change_is_in_force_when_it_is_answered(self, dial, request_set):
        assert dial.steering.value == Steering()
        assert request_set(k=2.5).successful
        assert dial.steering.value == Steering(k=2.5)

    def test_a_whole_number(self, dial, request_set):
        assert request_set(k=2).successful
        assert dial.steering.value == Steering(k=2.0)
        assert dial.parameter("steering.k") == 2.0

    def test_several_at_once(self, dial, request_set):
        assert request_set(atomically=True, k=4.0, sigma=0.5, method="none").successful
        assert dial.steering.value == Steering(k=4.0, sigma=0.5, method="none")

    @pytest.mark.parametrize(
        "change", [{"method": "nes"}, {"integrator": "gaussian"}, {"integrator": "gaussian2"}, {"cap": True}]
    )
    def test_every_way_of_steering(self, dial, request_set, change):
        assert request_set(**change).successful
        assert dial.steering.value == Steering(**change)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"k": 0.0}, "steering.k is 0.0, expected a finite number > 0"),
            ({"k": -1.0}, "out of range"),
            ({"k": float("nan")}, "out of range"),
            ({"k": float("inf")}, "out of range"),
            ({"k": "sharp"}, "Wrong parameter type"),
            ({"k": True}, "Wrong parameter type"),
            ({"sigma": 0.0}, "steering.sigma is 0.0"),
            ({"method": "magic"}, "'magic', expected one of: psr, nns, nes, none"),
            ({"method": 3}, "Wrong parameter type"),
            ({"cap": "yes"}, "Wrong parameter type"),
        ],
    )
    def test_with_a_reason_and_the_old_value_stays(self, dial, request_set, change, reason):
        assert request_set(k=3.0).successful
        result = request_set(**change)
        assert not result.successful
        assert reason in result.reason
        assert dial.steering.value == Steering(k=3.0)
        name = next(iter(change))
        assert dial.parameter(f"steering.{name}") == getattr(Steering(k=3.0), name)

    def test_one_bad_value_refuses_all_of_a_request(self, dial, request_set):
        assert not request_set(atomically=True, k=4.0, method="magic").successful
        assert dial.steering.value == Steering()

    def test_values_that_do_not_go_together(self, dial, request_set):
        assert request_set(integrator="gaussian").successful
        result = request_set(method="none")
        assert not result.successful
        assert "goes with method 'psr'" in result.reason
        assert dial.steering.value == Steering(integrator="gaussian")
        assert request_set(atomically=True, method="none", integrator="plain").successful


class TestWhatTheNodeCannotDo:
    def test_is_refused_with_the_nodes_reason(self, dial, request_set):
        result = request_set(method="nns")
        assert (result.successful, result.reason) == (False, "nns needs noise")
        assert dial.steering.value == Steering()
        assert dial.parameter("steering.method") == "psr"

    def test_another_parameter_that_makes_it_possible_may_come_in_the_same_request(self, dial, request_set):
        assert request_set(atomically=True, sampler="ddpm", method="nns").successful
        assert dial.steering.value == Steering(method="nns")

    def test_another_parameter_may_not_take_the_possibility_away(self, dial, request_set):
        assert request_set(atomically=True, sampler="ddpm", method="nns").successful
        result = request_set(sampler="ddim")
        assert (result.successful, result.reason) == (False, "nns needs noise")
        assert dial.parameter("sampler") == "ddpm"
        assert request_set(atomically=True, sampler="ddim", method="psr").successful


class TestAtTheStart:
    def test_values_given_to_the_process(self, graph):
        assert graph.add(Dial(k=2, sigma=0.5, method="none")).steering.value == Steering(2.0, 0.5, "none")

    def test_a_default_of_the_node(self, graph):
        node = graph.add(SuiteNode("other"))
        assert SteeringParameters(node, Steering(k=1.5)).value == Steering(k=1.5)

    def test_values_that_go_together_but_not_with_the_default(self, graph):
        node = graph.add(Dial(Steering(cap=True), method="none", cap=False))
        assert node.steering.value == Steering(method="none")

    @pytest.mark.parametrize(
        ("given", "error", "text"),
        [
            ({"method": "none", "integrator": "gaussian"}, InvalidParameterValueException, "goes with method 'psr'"),
            ({"k": 0.0}, InvalidParameterValueException, "steering.k is 0.0"),
            ({"method": "magic"}, InvalidParameterValueException, "magic"),
            ({"k": "sharp"}, InvalidParameterTypeException, "sharp"),
            ({"method": 3}, InvalidParameterTypeException, "steering.method"),
        ],
    )
    def test_bad_values_are_refused(self, graph, given, error, text):
        with pytest.raises(error, match=text):
            Dial(**given)


def test_every_parameter_explains_itself(dial):
    for field in Steering().to_dict():
        descriptor = dial.describe_parameter(f"steering.{field}")
        assert descriptor.description
    assert dial.describe_parameter("steering.k").floating_point_range[0].from_value == 0.0
    assert "psr" in dial.describe_parameter("steering.method").additional_constraints

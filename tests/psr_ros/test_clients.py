"""The command line's side: every question is answered, refused with a reason, or given up in time."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from psr_interfaces.action import RunEpisodes  # noqa: E402
from psr_interfaces.msg import EpisodeResult  # noqa: E402
from rcl_interfaces.msg import ParameterType  # noqa: E402
from rclpy.action import ActionServer, CancelResponse, GoalResponse  # noqa: E402
from rclpy.task import Future  # noqa: E402

from psr_ros.clients import (  # noqa: E402
    ParameterClient,
    RosSession,
    RunEpisodesClient,
    change_state,
    convert,
    full_name,
    lifecycle_state,
    wait_for_active,
)
from psr_ros.lifecycle import SuiteNode  # noqa: E402
from psr_ros.steering_parameters import SteeringParameters  # noqa: E402


@pytest.fixture
def session(graph):
    with RosSession() as session:
        yield session


class Dial(SuiteNode):
    def __init__(self, autostart=True):
        super().__init__("dial", parameter_overrides=[rclpy.Parameter("autostart", value=autostart)])
        self.declare("steps", 16, "Steps.", bounds=(1, 100), live=True)
        self.steering = SteeringParameters(self)


class TestParameters:
    @pytest.fixture
    def client(self, graph, session):
        self.dial = graph.add(Dial())
        graph.start()
        return ParameterClient(session, "dial")

    def test_are_listed(self, client):
        assert {"steps", "steering.k", "steering.method", "autostart"} <= set(client.names())

    def test_are_read(self, client):
        assert client.get("steps", "steering.k") == {"steps": 16, "steering.k": 1.0}
        assert set(client.get()) == set(client.names())

    def test_are_described(self, client):
        descriptor = client.describe("steps")["steps"]
        assert descriptor.type == ParameterType.PARAMETER_INTEGER
        assert descriptor.description == "Steps."
        assert descriptor.integer_range[0].to_value == 100

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("steps", "20", 20),
            ("steering.k", "2", 2.0),
            ("steering.method", "none", "none"),
            ("steering.cap", "false", False),
        ],
    )
    def test_are_set_from_texts(self, client, name, text, value):
        assert client.set(name, text) == (True, "", value)
        assert self.dial.parameter(name) == value

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("steering.k", "sharp", "steering.k is 'sharp', expected a number"),
            ("steering.k", "0", "expected a finite number > 0"),
            ("steering.k", "nan", "out of range"),
            ("steps", "2.5", "steps is '2.5', expected a whole number"),
            ("steps", "0", "out of range"),
            ("steering.cap", "perhaps", "steering.cap is 'perhaps', expected true or false"),
            ("steering.method", "magic", "expected one of: psr"),
            ("autostart", "false", "deactivate and clean up"),
        ],
    )
    def test_a_refusal_brings_the_reason_and_the_value_in_force(self, client, name, value, reason):
        wait_for_active(client._session, "dial", 10)
        before = client.get(name)[name]
        outcome = client.set(name, value)
        assert not outcome.successful
        assert reason in outcome.reason
        assert outcome.value == before

    def test_are_set_together_or_not_at_all(self, client):
        outcome = client.set_all({"steps": "30", "steering.k": "-1"})
        assert not outcome["steps"].successful
        assert client.get("steps", "steering.k") == {"steps": 16, "steering.k": 1.0}
        assert client.set_all({"steps": "30", "steering.k": "2"})["steps"].value == 30

    def test_an_unknown_one_names_those_there_are(self, client):
        with pytest.raises(LookupError, match=r"/dial has no parameter steering.q; it has: .*steering.k"):
            client.set("steering.q", "1")


class TestConvert:
    @pytest.mark.parametrize(
        ("value", "declared", "expected"),
        [
            ("True", ParameterType.PARAMETER_BOOL, True),
            ("-3", ParameterType.PARAMETER_INTEGER, -3),
            (2, ParameterType.PARAMETER_DOUBLE, 2.0),
            ("1e-3", ParameterType.PARAMETER_DOUBLE, 0.001),
            ("12", ParameterType.PARAMETER_STRING, "12"),
        ],
    )
    def test_follows_the_declared_type(self, value, declared, expected):
        converted = convert("x", value, declared)
        assert converted == expected
        assert type(converted) is type(expected)

    def test_a_truth_value_is_no_number(self):
        assert convert("x", True, ParameterType.PARAMETER_DOUBLE) is True


@pytest.mark.parametrize("name", ["policy", "/policy", "/policy/"])
def test_full_name(name):
    assert full_name(name) == "/policy"


class TestAbsentNodes:
    def test_time_out_and_say_who_is_there(self, graph, session):
        graph.add(rclpy.create_node("somebody"))
        assert session.wait(lambda: "/somebody" in session.nodes(), 10)
        with pytest.raises(TimeoutError, match=r"nobody offers /nobody/list_parameters .* running nodes: .*/somebody"):
            ParameterClient(session, "nobody", timeout=0.3).names()

    def test_one_that_is_there_but_busy(self, graph, session):
        graph.add(Dial())  # nothing spins it
        assert session.wait(lambda: "/dial" in session.nodes(), 10)
        with pytest.raises(TimeoutError, match="/dial/list_parameters did not answer within"):
            ParameterClient(session, "dial", timeout=1.0).names()

    def test_no_lifecycle_node(self, session):
        with pytest.raises(TimeoutError, match="/nobody is absent after 0.2 s, expected active; start it first"):
            wait_for_active(session, "nobody", 0.2)


class TestLifecycle:
    def test_waits_until_a_node_is_active(self, graph, session):
        graph.add(Dial())
        graph.start()
        wait_for_active(session, "dial", 10)
        assert lifecycle_state(session, "dial") == "active"

    def test_gives_up_on_one_that_stays_as_it_is(self, graph, session):
        graph.add(Dial(autostart=False))
        graph.start()
        lifecycle_state(session, "dial")
        with pytest.raises(TimeoutError, match="/dial is unconfigured after 0.3 s, expected active"):
            wait_for_active(session, "dial", 0.3)

    def test_transitions(self, graph, session):
        graph.add(Dial(autostart=False))
        graph.start()
        assert change_state(session, "dial", "configure")
        with pytest.raises(ValueError, match="/dial is inactive: configure is not possible; expected one of: activate"):
            change_state(session, "dial", "configure")


class Simulator(rclpy.node.Node):
    """Answers RunEpisodes: short runs at once, long ones when they are cancelled."""

    def __init__(self):
        super().__init__("sim")
        self.end = Future()
        self.server = ActionServer(
            self,
            RunEpisodes,
            "~/run_episodes",
            execute_callback=self.execute,
            goal_callback=lambda goal: GoalResponse.ACCEPT if goal.episodes else GoalResponse.REJECT,
            cancel_callback=self.cancel,
        )

    async def execute(self, goal):
        goal.publish_feedback(RunEpisodes.Feedback(seed=goal.request.first_seed, finished=1))
        if goal.request.episodes > 1:
            await self.end
            goal.canceled()
        else:
            goal.succeed()
        return RunEpisodes.Result(results=[EpisodeResult(seed=goal.request.first_seed)], successes=1)

    def cancel(self, goal):
        self.end.set_result(None)
        return CancelResponse.ACCEPT

    def destroy_node(self):
        self.server.destroy()
        super().destroy_node()


class TestRunEpisodes:
    @pytest.fixture
    def run(self, graph, session):
        graph.add(Simulator())
        graph.start()
        with RunEpisodesClient(session) as client:
            yield client.run

    def test_returns_the_results_and_relays_the_progress(self, run):
        progress = []
        outcome = run(500, 1, on_feedback=progress.append)
        assert outcome.status == "succeeded"
        assert [result.seed for result in outcome.result.results] == [500]
        assert [feedback.seed for feedback in progress] == [500]

    def test_ctrl_c_cancels_and_keeps_what_was_finished(self, run):
        def interrupt(_):
            raise KeyboardInterrupt

        outcome = run(500, 9, on_feedback=interrupt)
        assert outcome.status == "cancelled"
        assert outcome.result.successes == 1

    def test_a_time_limit_cancels(self, run):
        assert run(500, 9, timeout=0.3).status == "cancelled"

    def test_a_rejected_run(self, run):
        with pytest.raises(ConnectionRefusedError, match="/sim/run_episodes rejected the run"):
            run(500, 0)

    def test_no_simulator(self, session):
        with RunEpisodesClient(session) as client, pytest.raises(TimeoutError, match="start the simulator"):
            client.run(500, 1, patience=0.2)

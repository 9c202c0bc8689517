"""The policy node on a real graph, with a robot made of publishers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from psr_interfaces.msg import ActionChunk, EpisodeState  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.parameter_client import AsyncParameterClient  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_policy.checkpoint import load_policy, save_policy  # noqa: E402
from psr_policy.chunker import ChunkSampler  # noqa: E402
from psr_policy.node import PolicyNode  # noqa: E402
from psr_ros import qos  # noqa: E402
from psr_ros.lifecycle import ERROR, OK  # noqa: E402
from psr_ros.messages import (  # noqa: E402
    duration_to_seconds,
    nanoseconds_to_time,
    steering_from_message,
    time_to_nanoseconds,
)
from tests.psr_ros.graph import ros_graph  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
N = 4  # n_action_steps of the tiny policy
PERIOD = 50_000_000  # ns
CONTRACT = """
features:
  hand: [{topic: /ee_pose, type: geometry_msgs/msg/PoseStamped, field: pose.position}]
  fingers: [{topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, select: [left, right]}]
"""


def observation(step, episode=1):
    """(hand (3), fingers (2)) of a control step: every number its own."""
    values = np.sin(np.arange(5) + 0.3 * step + 7.0 * episode)
    return values[:3], values[3:]


class Robot(Node):
    """Publishes observations and states, hears chunks and diagnostics."""

    def __init__(self):
        super().__init__("robot")
        self.hands = self.create_publisher(PoseStamped, "/ee_pose", qos.events())
        self.joints = self.create_publisher(JointState, "/joint_states", qos.events())
        self.states = self.create_publisher(EpisodeState, "/episode/state", qos.events())
        self.chunks, self.diagnostics = [], []
        self.create_subscription(ActionChunk, "/policy/chunk", self.chunks.append, qos.events())
        self.create_subscription(DiagnosticArray, "/diagnostics", self.hear, 10)

    def hear(self, message):
        self.diagnostics += [status for status in message.status if status.name == "policy"]

    def show(self, stamp, hand, fingers):
        """The observations of a moment, in ns."""
        pose = PoseStamped()
        pose.header.stamp = nanoseconds_to_time(stamp)
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = map(float, hand)
        joints = JointState(name=["right", "elbow", "left"], position=[float(fingers[1]), 9.0, float(fingers[0])])
        joints.header.stamp = pose.header.stamp
        self.hands.publish(pose)
        self.joints.publish(joints)

    def tell(self, step, episode=1, await_chunk=False, status=EpisodeState.RUNNING):
        state = EpisodeState(episode=episode, seed=70 + episode, step=step, status=status, await_chunk=await_chunk)
        state.header.stamp = nanoseconds_to_time(stamp_of(step, episode))
        self.states.publish(state)

    def play(self, step, episode=1, await_chunk=False, values=None):
        """One control step: its observations, then its state."""
        self.show(stamp_of(step, episode), *(observation(step, episode) if values is None else values))
        self.tell(step, episode, await_chunk)


def stamp_of(step, episode=1):
    return (1000 * episode + step) * PERIOD


@pytest.fixture(scope="module")
def checkpoint(tiny_policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    save_policy(folder, tiny_policy(obs_keys=(("hand", 3), ("fingers", 2))), {"seed": 0})
    return folder


@pytest.fixture
def contract(tmp_path):
    path = tmp_path / "contract.yaml"
    path.write_text(CONTRACT)
    return path


@pytest.fixture
def setup(ros_domain, checkpoint, contract):
    """setup(**parameters) -> (graph, policy node, robot); active and connected unless told otherwise."""
    with ros_graph() as graph:

        def setup(wait=True, **parameters):
            given = {"checkpoint": str(checkpoint), "contract": str(contract), "num_inference_steps": 2, **parameters}
            overrides = [Parameter(name.replace("__", "."), value=value) for name, value in given.items()]
            robot = graph.add(Robot())
            node = graph.add(PolicyNode(parameter_overrides=overrides))
            if wait:
                publishers = [robot.hands, robot.joints]
                publishers += [] if parameters.get("tick_source") == "timer" else [robot.states]
                graph.until(lambda: all(publisher.get_subscription_count() for publisher in publishers))
                graph.until(lambda: node.state == "active" and robot.count_publishers("/policy/chunk"))
                graph.until(lambda: not node._silence() and node._chunks.get_subscription_count())
            return graph, node, robot

        yield setup


def direct(checkpoint, steps, episode=1, first=0, steering=None):
    """The rows that the bare sampler gives at the last of the steps first..steps."""
    sampler = ChunkSampler(load_policy(checkpoint), noise_seed=0)
    sampler.num_inference_steps = 2
    sampler.steering = steering or Steering()
    sampler.reset(70 + episode)
    for step in range(first, steps + 1):
        hand, fingers = observation(step, episode)
        sampler.observe({"hand": hand, "fingers": fingers})
    return sampler.sample(steps).rows


def rows(chunk):
    return np.array(chunk.data, np.float32).reshape(chunk.horizon, chunk.dim)


class TestChunks:
    def test_say_everything_about_themselves(self, setup, checkpoint):
        graph, node, robot = setup(steering__k=2.0, steering__sigma=0.5)
        robot.play(0, await_chunk=True)
        graph.until(lambda: robot.chunks)
        (chunk,) = robot.chunks
        policy = load_policy(checkpoint)
        assert (chunk.session, chunk.episode, chunk.step) == (node.session, 1, 0)
        assert time_to_nanoseconds(chunk.header.stamp) == stamp_of(0)
        assert chunk.header.frame_id == "world"
        assert duration_to_seconds(chunk.step_period) == pytest.approx(0.05)
        assert (chunk.n_action_steps, chunk.horizon, chunk.dim) == (N, 7, 10)
        assert tuple(chunk.names) == policy.config.action_names
        assert steering_from_message(chunk.steering) == Steering(k=2.0, sigma=0.5)
        assert (chunk.sampler, chunk.num_inference_steps) == ("ddim", 2)
        assert chunk.checkpoint == policy.checkpoint_id
        assert time_to_nanoseconds(chunk.sampling_started) > 1_500_000_000 * 10**9
        assert 0 < duration_to_seconds(chunk.latency) < 60
        np.testing.assert_array_equal(rows(chunk), direct(checkpoint, 0, steering=Steering(k=2.0, sigma=0.5)))

    def test_are_the_bare_samplers_bit_for_bit_through_episodes(self, setup, checkpoint):
        graph, _, robot = setup()
        for episode in (1, 2):
            for begin in (0, N):
                for step in range(max(begin - N + 1, 0), begin + 1):
                    robot.play(step, episode, await_chunk=step == begin)
                count = len(robot.chunks)
                graph.until(lambda count=count: len(robot.chunks) > count)
                assert (robot.chunks[-1].episode, robot.chunks[-1].step) == (episode, begin)
                np.testing.assert_array_equal(rows(robot.chunks[-1]), direct(checkpoint, begin, episode))
        assert len(robot.chunks) == 4

    def test_come_unasked_at_every_nth_step(self, setup):
        graph, _, robot = setup()
        for step in range(2 * N + 2):
            robot.play(step)
        graph.until(lambda: len(robot.chunks) == 3)
        assert [chunk.step for chunk in robot.chunks] == [0, N, 2 * N]

    def test_a_state_may_come_before_its_observations(self, setup, checkpoint):
        graph, node, robot = setup()
        robot.tell(0, await_chunk=True)
        graph.until(lambda: node._observations.problem(10**19, 1.0))
        robot.show(stamp_of(0), *observation(0))
        graph.until(lambda: robot.chunks)
        np.testing.assert_array_equal(rows(robot.chunks[0]), direct(checkpoint, 0))

    def test_a_repeated_request_gets_the_same_chunk_again(self, setup):
        graph, node, robot = setup()
        for _ in range(2):
            robot.play(0, await_chunk=True)
        graph.until(lambda: len(robot.chunks) == 2)
        assert robot.chunks[0] == robot.chunks[1]
        assert node.status().values["chunks"] == 1

    def test_none_outside_an_episode(self, setup):
        graph, _, robot = setup()
        for status in (EpisodeState.IDLE, EpisodeState.DONE):
            robot.show(stamp_of(0), *observation(0))
            robot.tell(0, await_chunk=True, status=status)
        robot.play(1, await_chunk=True)
        graph.until(lambda: robot.chunks)
        assert [chunk.step for chunk in robot.chunks] == [1]


class TestSettings:
    def test_a_change_is_in_the_next_chunk(self, setup, checkpoint):
        graph, _, robot = setup()
        client = AsyncParameterClient(robot, "policy")
        graph.until(client.services_are_ready)
        changes = {"steering.k": 3.0, "sampler": "ddpm", "num_inference_steps": 3}
        for step, (name, value) in enumerate(changes.items()):
            assert graph.answer(client.set_parameters([Parameter(name, value=value)])).results[0].successful
            robot.play(step, await_chunk=True)
            graph.until(lambda step=step: len(robot.chunks) == step + 1)
        first, second, third = robot.chunks
        np.testing.assert_array_equal(rows(first), direct(checkpoint, 0, steering=Steering(k=3.0)))
        assert steering_from_message(first.steering) == Steering(k=3.0)
        assert (second.sampler, second.num_inference_steps) == ("ddpm", 2)
        assert third.num_inference_steps == 3

    def test_the_integrator_and_the_cap_can_be_switched_live(self, setup, checkpoint):
        graph, _, robot = setup(steering__k=2.0, limits_margin=10.0)
        client = AsyncParameterClient(robot, "policy")
        graph.until(client.services_are_ready)
        changes = [("integrator", "gaussian"), ("integrator", "gaussian2"), ("integrator", "plain"), ("cap", True)]
        fields = {}
        for step, (name, value) in enumerate(changes):
            fields[name] = value
            change = [Parameter(f"steering.{name}", value=value)]
            assert graph.answer(client.set_parameters(change)).results[0].successful
            robot.play(step, await_chunk=True)
            graph.until(lambda step=step: len(robot.chunks) == step + 1)
            steering = Steering(k=2.0, **fields)
            assert steering_from_message(robot.chunks[-1].steering) == steering
            np.testing.assert_array_equal(rows(robot.chunks[-1]), direct(checkpoint, step, steering=steering))

    def test_what_the_sampler_cannot_do_is_refused_and_chunks_go_on(self, setup):
        graph, node, robot = setup()
        client = AsyncParameterClient(robot, "policy")
        graph.until(client.services_are_ready)

        def ask(**values):
            changes = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
            return graph.answer(client.set_parameters_atomically(changes)).result

        refused = ask(steering__method="nns")
        assert not refused.successful
        assert "DDIMScheduler cannot take steering.method 'nns'" in refused.reason
        assert ask(sampler="ddpm", steering__method="nns").successful
        assert "cannot take steering.method 'nns'" in ask(sampler="ddim").reason
        assert "DDPMScheduler cannot take" in ask(steering__method="psr", steering__integrator="gaussian").reason
        robot.play(0, await_chunk=True)
        graph.until(lambda: robot.chunks)
        assert robot.chunks[0].sampler == "ddpm"
        assert steering_from_message(robot.chunks[0].steering) == node.steering.value == Steering(method="nns")

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("steering.k", -1.0, "out of range"),
            ("steering.k", float("nan"), "out of range"),
            ("steering.k", "sharp", "Wrong parameter type"),
            ("sampler", "euler", "expected one of: ddim, ddpm"),
            ("num_inference_steps", 0, "out of range"),
            ("num_inference_steps", 21, "expected at most the 20 of the training"),
            ("checkpoint", "elsewhere", "deactivate and clean up"),
        ],
    )
    def test_a_refused_change_leaves_the_old_value(self, setup, name, value, reason):
        graph, node, robot = setup(wait=False)
        client = AsyncParameterClient(robot, "policy")
        graph.until(lambda: node.state == "active" and client.services_are_ready())
        before = node.parameter(name)
        result = graph.answer(client.set_parameters([Parameter(name, value=value)])).results[0]
        assert not result.successful
        assert reason in result.reason
        assert node.parameter(name) == before


class TestHolding:
    """No chunk, and /diagnostics says why; the chunk of a later, good step shows that none was just slow."""

    def recover(self, graph, robot, step):
        robot.play(step, await_chunk=True)
        graph.until(lambda: robot.chunks)
        assert [chunk.step for chunk in robot.chunks] == [step]

    def complaint(self, graph, node, robot):
        graph.until(lambda: node.status().level == ERROR)
        node.publish_diagnostics()
        graph.until(lambda: robot.diagnostics and robot.diagnostics[-1].level == ERROR)
        return robot.diagnostics[-1].message

    def test_an_observation_that_is_not_finite(self, setup):
        graph, node, robot = setup()
        robot.play(0, await_chunk=True, values=([0.0, np.nan, 0.0], [0.0, 0.0]))
        assert "feature hand is [0.0, nan, 0.0], expected finite numbers" in self.complaint(graph, node, robot)
        self.recover(graph, robot, 1)
        assert node.status().level == OK

    def test_frozen_observations(self, setup):
        graph, node, robot = setup(frozen_steps=3)
        for step in (1, 2, 3):
            robot.play(step, values=observation(0))
        assert "have not changed by a bit for 3 steps" in self.complaint(graph, node, robot)
        robot.chunks.clear()
        robot.play(4, await_chunk=True, values=observation(0))
        self.recover(graph, robot, 5)

    def test_rows_outside_the_limits(self, setup, contract):
        contract.write_text(CONTRACT + "action: {low: {z: -2000.0}, high: {z: -1000.0}}")
        graph, node, robot = setup()
        robot.play(0, await_chunk=True)
        complaint = self.complaint(graph, node, robot)
        assert "chunk for step 0 is not published: row 0, column z is" in complaint
        assert "expected a number in [-2000, -1000]" in complaint
        values = {pair.key: pair.value for pair in robot.diagnostics[-1].values}
        assert (values["refused chunks"], values["chunks"]) == ("1", "0")
        assert robot.chunks == []

    def test_a_step_whose_observation_does_not_come(self, setup):
        graph, node, robot = setup(observation_timeout=0.1)
        robot.tell(0, await_chunk=True)
        assert f"waits since 0.1 s for a message of stamp {stamp_of(0)} ns on /ee_pose, /joint_states" in (
            self.complaint(graph, node, robot)
        )
        self.recover(graph, robot, 1)

    def test_topics_that_nobody_publishes(self, setup, contract):
        contract.write_text(CONTRACT.replace("/ee_pose", "/nowhere"))
        graph, node, robot = setup(wait=False, observation_timeout=0.1)
        graph.until(lambda: node.state == "active")
        complaint = self.complaint(graph, node, robot)
        assert "nobody publishes /nowhere; start what does, or remap the topic (needed for hand)" in complaint


class TestTimer:
    def live(self, node, robot):
        """A robot that is up to date whenever the node looks."""
        count = iter(range(10**9))
        return robot.create_timer(
            0.02, lambda: robot.show(node.get_clock().now().nanoseconds, *observation(next(count)))
        )

    def test_chunks_come_on_a_wall_timer(self, setup):
        graph, node, robot = setup(tick_source="timer")
        self.live(node, robot)
        graph.until(lambda: len(robot.chunks) == 3)
        steps = [chunk.step for chunk in robot.chunks]
        assert steps == sorted(set(steps))
        assert {chunk.episode for chunk in robot.chunks} == {1}
        assert all(time_to_nanoseconds(chunk.header.stamp) > 0 for chunk in robot.chunks)

    def test_old_observations_hold_and_new_ones_resume(self, setup):
        graph, node, robot = setup(tick_source="timer", observation_timeout=0.3)
        timer = self.live(node, robot)
        graph.until(lambda: robot.chunks)
        timer.cancel()
        graph.until(lambda: "s old, expected at most 0.3 s" in node.status().message)
        assert node.status().level == ERROR
        count = len(robot.chunks)
        timer.reset()
        graph.until(lambda: len(robot.chunks) > count)
        graph.until(lambda: node.status().level == OK)

    def test_old_stamps_hold_too(self, setup):
        graph, node, robot = setup(tick_source="timer", observation_timeout=0.3)
        now = node.get_clock().now().nanoseconds
        robot.create_timer(0.02, lambda: robot.show(now - 10**9, *observation(0)))
        graph.until(lambda: "the newest message on /ee_pose is" in node.status().message)
        assert robot.chunks == []

    def test_each_activation_is_an_episode(self, setup):
        graph, node, robot = setup(tick_source="timer")
        self.live(node, robot)
        graph.until(lambda: robot.chunks)
        node.trigger_deactivate()
        robot.chunks.clear()
        node.trigger_activate()
        graph.until(lambda: robot.chunks)
        assert robot.chunks[-1].episode == 2


class TestConfigure:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"checkpoint": "/nowhere"}, "cannot configure: no policy folder at /nowhere"),
            ({"contract": "/nowhere.yaml"}, "cannot configure: contract /nowhere.yaml does not exist"),
            ({"device": "abacus"}, "device is 'abacus', expected cpu, cuda or cuda:<number>"),
            ({"num_inference_steps": 21}, "num_inference_steps is 21, expected an integer from 1 to 20"),
            ({"steering__method": "nns"}, "cannot configure: DDIMScheduler cannot take steering.method 'nns'"),
            ({"steering__integrator": "gaussian2", "sampler": "ddpm"}, "DDPMScheduler cannot take"),
        ],
    )
    def test_says_what_is_wrong_and_stays_unconfigured(self, setup, given, text):
        graph, node, robot = setup(wait=False, **given)
        graph.until(lambda: node.last_error)
        assert text in node.last_error
        assert node.state == "unconfigured"
        node.publish_diagnostics()
        graph.until(lambda: any(text in status.message and status.level == ERROR for status in robot.diagnostics))

    def test_a_contract_that_does_not_fit_the_policy(self, setup, contract):
        contract.write_text(CONTRACT.replace("pose.position", "pose.orientation"))
        graph, node, _ = setup(wait=False)
        graph.until(lambda: node.last_error)
        assert f"{contract}: features.hand has 4 (/ee_pose pose.orientation) numbers, the policy expects 3" in (
            node.last_error
        )

    def test_goes_on_once_it_is_mended(self, setup, checkpoint):
        graph, node, robot = setup(wait=False, checkpoint="/nowhere")
        graph.until(lambda: node.last_error)
        assert node.set_parameters([Parameter("checkpoint", value=str(checkpoint))])[0].successful
        node.trigger_configure()
        node.trigger_activate()
        graph.until(lambda: robot.states.get_subscription_count() and robot.count_publishers("/policy/chunk"))
        graph.until(lambda: not node._silence())
        robot.play(0, await_chunk=True)
        graph.until(lambda: robot.chunks)


def test_every_parameter_explains_itself(setup):
    _, node, _ = setup(wait=False, autostart=False)
    own = [name for name in node._parameters if name not in ("use_sim_time", "start_type_description_service")]
    assert len(own) >= 16
    assert [name for name in own if not node.describe_parameter(name).description] == []


def test_the_process_ends_cleanly_on_sigterm(ros_domain, checkpoint, contract):
    arguments = ["--ros-args", "-p", f"checkpoint:={checkpoint}", "-p", f"contract:={contract}", "-p", "steering.k:=2"]
    command = [sys.executable, "-m", "psr_policy.node", *arguments, "-p", "num_inference_steps:=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert "psr k=2 σ=1" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0

"""The bridge in one process with a scripted policy, which answers by a plan of its own instead of a network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from action_msgs.msg import GoalStatus  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from psr_interfaces.action import RunEpisodes  # noqa: E402
from psr_interfaces.msg import ActionChunk, EpisodeResult, EpisodeState  # noqa: E402
from psr_interfaces.srv import ResetEpisode  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, JointState, RegionOfInterest  # noqa: E402

from psr_core.rotations import quat_xyzw_to_matrix  # noqa: E402
from psr_core.steering import Steering  # noqa: E402
from psr_ros import qos  # noqa: E402
from psr_ros.messages import (  # noqa: E402
    NANOSECONDS,
    seconds_to_duration,
    steering_to_message,
    time_to_nanoseconds,
)
from sim.display import Display  # noqa: E402
from sim.experts.lift import LiftExpert  # noqa: E402
from sim.node import SimNode  # noqa: E402
from sim.rendering import choose_gl  # noqa: E402

pytestmark = pytest.mark.ros

# Tests that run side by side must not hear each other.
DOMAIN, FAR_DOMAIN = (30 + (os.getpid() + offset) % 10 for offset in (0, 5))
STEP = NANOSECONDS // 20
ROOT = Path(__file__).resolve().parents[2]
HOLD = np.array([0.0, 0.0, 1.0, 1, 0, 0, 0, -1, 0, -1], np.float32)  # above the table, hand down, gripper open
TOPICS = {
    "/clock": Clock,
    "/joint_states": JointState,
    "/ee_pose": PoseStamped,
    "/objects/cube/pose": PoseStamped,
    "/episode/state": EpisodeState,
    "/episode/result": EpisodeResult,
}


class Policy(Node):
    """Hears everything; answers a state by whatever chunks `plan` returns for it."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__("policy", context=context)
        self.heard = defaultdict(list)
        self.feedback = []
        self.session = 1
        self.plan = lambda state: [self.chunk(state)] if state.await_chunk else []
        for topic, kind in TOPICS.items():
            self.create_subscription(kind, topic, self.heard[topic].append, qos.events())
        self.create_subscription(EpisodeState, "/episode/state", self.answer, qos.events())
        self.chunks = self.create_publisher(ActionChunk, "/policy/chunk", qos.events())
        self.action = ActionClient(self, RunEpisodes, "/sim/run_episodes")
        self.reset = self.create_client(ResetEpisode, "/sim/reset")

    def chunk(self, state: EpisodeState, rows: np.ndarray | None = None, **changes) -> ActionChunk:
        rows = np.tile(HOLD, (15, 1)) if rows is None else rows
        fields = dict(
            session=self.session,
            episode=state.episode,
            step=state.step,
            step_period=seconds_to_duration(0.05),
            n_action_steps=min(8, len(rows)),
            horizon=rows.shape[0],
            dim=rows.shape[1],
            data=array("f", rows.astype(np.float32).tobytes()),
            steering=steering_to_message(Steering(k=2.0, sigma=0.5)),
            sampler="ddim",
            num_inference_steps=16,
            checkpoint="lift@0123456789ab",
            latency=seconds_to_duration(0.25),
        )
        return ActionChunk(**{**fields, **changes})

    def answer(self, state: EpisodeState) -> None:
        if state.status == EpisodeState.RUNNING:
            for message in self.plan(state):
                self.chunks.publish(message)


class Graph:
    def __init__(self, *nodes: Node) -> None:
        self.executor = SingleThreadedExecutor(context=nodes[0].context)
        for node in nodes:
            self.executor.add_node(node)

    def until(self, done, timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"still waiting after {timeout} s"
            self.executor.spin_once(timeout_sec=0.02)

    def wait(self, future):
        self.until(future.done)
        return future.result()


@pytest.fixture(scope="module", autouse=True)
def ros():
    """A domain of its own, also for the processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        rclpy.init(args=[])
        yield
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def sim(ros):
    """One bridge for all tests, because making a scene takes seconds."""
    yield from bridge([Parameter(f"camera.{side}", value=size) for side, size in (("width", 64), ("height", 48))])


def bridge(overrides):
    """A bridge with these parameters, active; shut down when the fixture that yields from this ends."""
    node = SimNode(parameter_overrides=overrides)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end = time.monotonic() + 60
    while node.state != "active":
        assert time.monotonic() < end and not node.last_error, node.last_error
        executor.spin_once(timeout_sec=0.1)
    executor.remove_node(node)
    executor.shutdown()
    yield node
    node.shut_down()
    node.destroy_node()


@pytest.fixture
def policy(ros):
    node = Policy()
    yield node
    node.action.destroy()
    node.destroy_node()


@pytest.fixture
def graph(sim, policy):
    made = Graph(sim, policy)
    made.until(policy.action.server_is_ready)
    made.until(lambda: sim.count_publishers("/policy/chunk") == 1 and sim.count_subscribers("/episode/state") >= 2)
    yield made
    sim._stop("the test is over")
    made.executor.spin_once(timeout_sec=0)
    made.executor.shutdown()
    for name, default in (("mode", "lockstep"), ("chunk_timeout", 10.0), ("policy_timeout", 60.0), ("max_steps", 0)):
        sim.set_parameters([Parameter(name, value=default)])


def start(graph: Graph, policy: Policy, first_seed: int = 3, episodes: int = 1, max_steps: int = 12):
    goal = RunEpisodes.Goal(first_seed=first_seed, episodes=episodes, max_steps=max_steps)
    return graph.wait(policy.action.send_goal_async(goal, lambda m: policy.feedback.append(m.feedback)))


def run(graph: Graph, policy: Policy, **goal):
    """The status and the result of a whole run, once everything that was published until then has been heard."""
    answer = graph.wait(start(graph, policy, **goal).get_result_async())
    if answer.result.results:
        last = stamps(answer.result.results)[-1]
        newest = [policy.heard[topic] for topic in TOPICS if topic != "/clock"]
        graph.until(lambda: all(heard and stamps(heard[-1:])[0] >= last for heard in newest))
        graph.until(lambda: policy.heard["/episode/state"][-1].status != EpisodeState.RUNNING)
    return answer.status, answer.result


def set_parameter(sim: SimNode, name: str, value) -> None:
    assert sim.set_parameters([Parameter(name, value=value)])[0].successful


def states(policy: Policy) -> list[EpisodeState]:
    return [state for state in policy.heard["/episode/state"] if state.status != EpisodeState.IDLE]


def stamps(messages) -> list[int]:
    return [time_to_nanoseconds(message.header.stamp) for message in messages]


def seen_while_moving(policy: Policy) -> list[tuple]:
    """Joints, hand and cube of every control step, without the stamps."""
    moving = set(stamps(states(policy)))
    joints, hands, cubes = (
        {time_to_nanoseconds(message.header.stamp): message for message in policy.heard[topic]}
        for topic in ("/joint_states", "/ee_pose", "/objects/cube/pose")
    )
    return [(list(joints[s].position), list(joints[s].velocity), hands[s].pose, cubes[s].pose) for s in sorted(moving)]


class TestLockstep:
    def test_replayed_expert_succeeds_exactly_as_without_ros(self, graph, policy, lift):
        observation, expert, rows, poses = lift.reset(5), LiftExpert(5), [], []
        while not observation.success:
            poses.append(observation.eef_position)
            rows.append(expert.act(observation))
            observation = lift.step(rows[-1])
        rows = np.stack(rows + rows[-1:] * 15)
        policy.plan = lambda state: (
            [policy.chunk(state, rows[state.step : state.step + 15])] if state.await_chunk else []
        )
        status, result = run(graph, policy, first_seed=5, max_steps=0)
        assert (status, result.successes, result.failures, result.aborted) == (GoalStatus.STATUS_SUCCEEDED, 1, 0, 0)
        (episode,) = result.results
        assert episode.success and episode.outcome == EpisodeResult.SUCCESS and episode.max_reward == 1.0
        assert episode.steps == len(poses)
        published = [[p.x, p.y, p.z] for p in (hand.position for _, _, hand, _ in seen_while_moving(policy))]
        assert published == np.array([*poses, observation.eef_position]).tolist()

    def test_result_says_what_the_episode_was_run_under(self, graph, policy):
        _, result = run(graph, policy, first_seed=3, episodes=2, max_steps=12)
        graph.until(lambda: len(policy.heard["/episode/result"]) == 2)
        assert policy.heard["/episode/result"] == result.results
        for episode, seed in zip(result.results, (3, 4), strict=True):
            assert (episode.task, episode.seed, episode.mode, episode.reason) == ("Lift", seed, "lockstep", "")
            assert (episode.outcome, episode.success, episode.steps) == (EpisodeResult.FAILURE, False, 12)
            assert (episode.chunks, episode.deadline_misses, episode.late_rows) == (2, 0, 0)
            assert (episode.steering, episode.mixed_steering) == (steering_to_message(Steering(2.0, 0.5)), False)
            assert (episode.sampler, episode.num_inference_steps) == ("ddim", 16)
            assert (episode.checkpoint, episode.latency_mean, episode.latency_max) == ("lift@0123456789ab", 0.25, 0.25)
        assert result.results[0].episode < result.results[1].episode
        assert (policy.feedback[-1].finished, policy.feedback[-1].successes, policy.feedback[-1].seed) == (2, 0, 4)

    def test_waits_after_every_n_action_steps_and_at_the_start(self, graph, policy):
        run(graph, policy, episodes=1, max_steps=20)
        assert [(s.step, s.await_chunk) for s in states(policy)] == [(i, i in (0, 8, 16)) for i in range(21)]
        assert [s.status for s in states(policy)] == [EpisodeState.RUNNING] * 20 + [EpisodeState.DONE]

    def test_every_state_comes_with_observations_of_its_stamp(self, graph, policy):
        run(graph, policy, episodes=2, max_steps=12)
        running = stamps(states(policy))
        assert np.diff(running).tolist() == [STEP] * (2 * 13 - 1)
        for topic in ("/joint_states", "/ee_pose", "/objects/cube/pose"):
            assert set(running) <= set(stamps(policy.heard[topic]))
        graph.until(lambda: time_to_nanoseconds(policy.heard["/clock"][-1].clock) >= running[-1])
        clock = [time_to_nanoseconds(message.clock) for message in policy.heard["/clock"]]
        assert clock == sorted(clock)
        assert set(running) <= set(clock)

    def test_the_same_seeds_give_the_same_bits(self, graph, policy):
        results = [run(graph, policy, first_seed=7, episodes=2, max_steps=12)[1].results for _ in range(2)]
        seen = seen_while_moving(policy)
        assert len(seen) == 2 * 2 * 13
        assert seen[:26] == seen[26:]
        assert seen[:13] != seen[13:26]
        for first, second in zip(*results, strict=True):
            second.header, second.episode = first.header, first.episode
            assert first == second

    def test_a_dial_turned_in_mid_episode_is_noted(self, graph, policy):
        policy.plan = lambda state: (
            [policy.chunk(state, steering=steering_to_message(Steering(k=1.0 + state.step)))]
            if state.await_chunk
            else []
        )
        _, result = run(graph, policy, max_steps=12)
        assert result.results[0].mixed_steering
        assert result.results[0].steering.k == 1.0

    def test_an_unanswered_state_is_repeated_with_its_observations(self, graph, policy):
        answers = iter([False, True])
        policy.plan = lambda state: [policy.chunk(state)] if state.await_chunk and next(answers) else []
        run(graph, policy, max_steps=8)
        repeated = [time_to_nanoseconds(state.header.stamp) for state in states(policy) if state.step == 0]
        assert len(repeated) == 2 and repeated[0] == repeated[1]
        assert stamps(policy.heard["/ee_pose"]).count(repeated[0]) == 2
        assert len(states(policy)) == 10


class TestBadChunks:
    BAD = {
        "wrong width": lambda p, s: p.chunk(s, np.zeros((8, 7))),
        "lost numbers": lambda p, s: p.chunk(s, horizon=16),
        "not finite": lambda p, s: p.chunk(s, np.full((8, 10), np.nan)),
        "no rotation": lambda p, s: p.chunk(s, np.zeros((8, 10))),
        "no rows": lambda p, s: p.chunk(s, np.zeros((0, 10))),
        "too many steps": lambda p, s: p.chunk(s, n_action_steps=16),
        "future step": lambda p, s: p.chunk(s, step=s.step + 1),
        "future episode": lambda p, s: p.chunk(s, episode=s.episode + 1),
        "past episode": lambda p, s: p.chunk(s, episode=s.episode - 1, session=2),
        "other period": lambda p, s: p.chunk(s, step_period=seconds_to_duration(0.1)),
        "no steering": lambda p, s: p.chunk(s, steering=steering_to_message(Steering()).__class__()),
    }

    def test_are_never_executed(self, graph, policy):
        run(graph, policy, first_seed=3, max_steps=12)
        policy.plan = lambda state: (
            [make(policy, state) for make in self.BAD.values()] + [policy.chunk(state)] if state.await_chunk else []
        )
        _, result = run(graph, policy, first_seed=3, max_steps=12)
        (episode,) = result.results
        assert (episode.outcome, episode.steps, episode.chunks) == (EpisodeResult.FAILURE, 12, 2)
        seen = seen_while_moving(policy)
        assert seen[:13] == seen[13:]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("wrong width", "action rows have shape (8, 7), expected (R, 10)"),
            ("lost numbers", "horizon 16 x dim 10 is 160, but data holds 150 numbers"),
            ("not finite", "row 0, column 0 is nan, expected finite numbers"),
            ("too many steps", "n_action_steps is 16, expected 1 to the horizon 15"),
            ("future step", "it is for step 1, the episode is only at step 0"),
            ("other period", "step_period is 0.1 s, expected 0.05 s"),
            ("no steering", "steering.k is 0.0, expected a finite number > 0"),
        ],
    )
    def test_end_the_run_with_the_numbers_when_nothing_else_comes(self, sim, graph, policy, name, why):
        set_parameter(sim, "policy_timeout", 0.1)
        policy.plan = lambda state: [self.BAD[name](policy, state)]
        status, result = run(graph, policy, episodes=2)
        assert status == GoalStatus.STATUS_ABORTED
        assert (result.aborted, len(result.results)) == (1, 1)
        assert f"the last one was refused, {why}" in result.message


class TestAbort:
    def test_cancelling_keeps_what_is_finished(self, graph, policy):
        policy.plan = lambda state: [policy.chunk(state)] if state.await_chunk and state.seed == 3 else []
        handle = start(graph, policy, first_seed=3, episodes=5, max_steps=8)
        graph.until(lambda: len(policy.heard["/episode/result"]) == 1)
        graph.wait(handle.cancel_goal_async())
        answer = graph.wait(handle.get_result_async())
        assert answer.status == GoalStatus.STATUS_CANCELED
        assert [(e.outcome, e.reason) for e in answer.result.results] == [
            (EpisodeResult.FAILURE, ""),
            (EpisodeResult.ABORTED, "cancelled"),
        ]
        assert (answer.result.message, answer.result.failures, answer.result.aborted) == ("cancelled", 1, 1)
        # the answer may arrive before the last states do
        graph.until(lambda: states(policy)[-1].status == EpisodeState.DONE)

    def test_another_policy_process_aborts_the_episode_and_takes_the_next_one(self, graph, policy):
        def restarted_at_step_8(state):
            policy.session = 2 if state.step >= 8 else policy.session
            return [policy.chunk(state)] if state.await_chunk else []

        policy.plan = restarted_at_step_8
        status, result = run(graph, policy, first_seed=3, episodes=2, max_steps=12)
        assert status == GoalStatus.STATUS_SUCCEEDED
        first, second = result.results
        assert (first.outcome, first.steps, first.seed) == (EpisodeResult.ABORTED, 8, 3)
        assert "session changed from 1 to 2 at step 8" in first.reason
        assert (second.outcome, second.steps, second.seed) == (EpisodeResult.FAILURE, 12, 4)

    def test_a_policy_gone_silent_aborts_the_episode_only(self, sim, graph, policy):
        set_parameter(sim, "chunk_timeout", 0.2)
        policy.plan = lambda state: (
            [policy.chunk(state)] if state.await_chunk and (state.step, state.seed) != (8, 3) else []
        )
        status, result = run(graph, policy, first_seed=3, episodes=2, max_steps=12)
        assert status == GoalStatus.STATUS_SUCCEEDED
        assert [e.outcome for e in result.results] == [EpisodeResult.ABORTED, EpisodeResult.FAILURE]
        assert "no usable chunk came within chunk_timeout" in result.results[0].reason
        assert result.results[0].steps == 8

    def test_a_vanished_policy_aborts_the_episode_without_waiting(self, graph, policy):
        def vanish(state):
            if state.await_chunk and state.step == 8 and state.seed == 3:
                policy.destroy_publisher(policy.chunks)
                policy.chunks = policy.create_publisher(ActionChunk, "/elsewhere", qos.events())
            return [policy.chunk(state)] if state.await_chunk else []

        policy.plan = vanish
        start(graph, policy, first_seed=3, episodes=2, max_steps=12)
        graph.until(lambda: policy.heard["/episode/result"])
        assert policy.heard["/episode/result"][0].reason == (
            "the policy is gone: nobody publishes /policy/chunk; start what does, or remap the topic"
        )
        policy.chunks = policy.create_publisher(ActionChunk, "/policy/chunk", qos.events())
        graph.until(lambda: len(policy.heard["/episode/result"]) == 2)
        assert policy.heard["/episode/result"][1].outcome == EpisodeResult.FAILURE

    def test_a_run_without_any_policy_is_given_up(self, sim, graph, policy):
        set_parameter(sim, "policy_timeout", 0.2)
        policy.plan = lambda state: []
        status, result = run(graph, policy, first_seed=3, episodes=3)
        assert status == GoalStatus.STATUS_ABORTED
        assert [e.steps for e in result.results] == [0]
        assert result.results[0].steering.method == "none"
        assert "no usable chunk came within policy_timeout" in result.message

    def test_a_second_run_is_rejected_and_leaves_the_first_alone(self, graph, policy):
        policy.plan = lambda state: []
        first = start(graph, policy)
        assert not start(graph, policy).accepted
        policy.plan = lambda state: [policy.chunk(state)] if state.await_chunk else []
        assert graph.wait(first.get_result_async()).status == GoalStatus.STATUS_SUCCEEDED

    @pytest.mark.parametrize(
        ("goal", "why"),
        [
            (dict(episodes=0), "episodes is 0, expected at least 1"),
            (dict(first_seed=2**32), "seeds are 4294967296 to 4294967296, expected them within 0 to 4294967295"),
        ],
    )
    def test_impossible_runs_are_answered_with_the_reason(self, graph, policy, goal, why):
        status, result = run(graph, policy, **goal)
        assert (status, result.message) == (GoalStatus.STATUS_ABORTED, why)
        assert not policy.heard["/episode/result"]


class TestReset:
    def test_puts_the_scene_at_a_seed_without_moving_it(self, graph, policy):
        run(graph, policy, first_seed=3, max_steps=1)
        begun = seen_while_moving(policy)[0]
        before = stamps(policy.heard["/episode/state"])[-1]
        response = graph.wait(policy.reset.call_async(ResetEpisode.Request(seed=3)))
        assert response.success, response.message
        graph.until(lambda: policy.heard["/episode/state"][-1].status == EpisodeState.IDLE)
        state = policy.heard["/episode/state"][-1]
        assert (state.seed, state.step, state.await_chunk) == (3, 0, False)
        assert stamps([state])[0] == before + STEP
        graph.until(lambda: stamps(policy.heard["/objects/cube/pose"])[-1] == before + STEP)
        assert policy.heard["/objects/cube/pose"][-1].pose == begun[3]

    def test_aborts_a_running_episode_and_its_run(self, graph, policy):
        policy.plan = lambda state: []
        result = start(graph, policy, episodes=3).get_result_async()
        assert graph.wait(policy.reset.call_async(ResetEpisode.Request(seed=3))).success
        answer = graph.wait(result)
        assert answer.status == GoalStatus.STATUS_ABORTED
        assert [(e.outcome, e.reason) for e in answer.result.results] == [
            (EpisodeResult.ABORTED, "the scene was reset")
        ]

    def test_refuses_a_seed_that_numpy_does_not_take(self, graph, policy):
        response = graph.wait(policy.reset.call_async(ResetEpisode.Request(seed=2**32)))
        assert not response.success
        assert response.message == "seed is 4294967296, expected 0 to 4294967295"


class TestRealtime:
    def test_runs_on_without_waiting_for_chunks(self, sim, graph, policy):
        set_parameter(sim, "mode", "realtime")
        policy.plan = lambda state: [policy.chunk(state)] if state.step % 8 == 0 else []
        status, result = run(graph, policy, max_steps=12)
        assert status == GoalStatus.STATUS_SUCCEEDED
        (episode,) = result.results
        assert (episode.mode, episode.steps, episode.chunks) == ("realtime", 12, 2)
        assert [(s.step, s.await_chunk) for s in states(policy)] == [(i, i == 0) for i in range(13)]
        assert np.diff(stamps(states(policy))).tolist() == [STEP] * 12

    def test_counts_the_steps_that_no_row_was_there_for(self, sim, graph, policy):
        set_parameter(sim, "mode", "realtime")
        policy.plan = lambda state: [policy.chunk(state, np.tile(HOLD, (5, 1)))] if state.step == 0 else []
        _, result = run(graph, policy, max_steps=9)
        assert (result.results[0].deadline_misses, result.results[0].late_rows) == (4, 0)

    def test_drops_late_rows(self, sim, graph, policy):
        set_parameter(sim, "mode", "realtime")
        policy.plan = lambda state: [policy.chunk(state, step=state.step // 8 * 8)] if state.step in (0, 11) else []
        _, result = run(graph, policy, max_steps=14)
        assert result.results[0].late_rows >= 3
        assert result.results[0].chunks == 2

    def test_aborts_when_the_policy_goes_silent(self, sim, graph, policy):
        set_parameter(sim, "mode", "realtime")
        set_parameter(sim, "chunk_timeout", 0.3)
        policy.plan = lambda state: [policy.chunk(state)] if state.step == 0 else []
        _, result = run(graph, policy, max_steps=400)
        assert result.results[0].outcome == EpisodeResult.ABORTED
        assert "no usable chunk came within chunk_timeout" in result.results[0].reason


class TestCamera:
    @pytest.fixture
    def camera(self, policy):
        if not choose_gl().ok:
            pytest.skip(f"nothing draws here: {choose_gl().detail}")
        heard = defaultdict(list)
        profile = qos.events()
        for topic, kind in {"image_raw": Image, "depth/image_raw": Image, "camera_info": CameraInfo}.items():
            policy.create_subscription(kind, f"/camera/{topic}", heard[topic].append, profile)
        return heard

    def test_draws_for_subscribers_at_its_rate_and_moves_nothing(self, sim, graph, policy, request):
        run(graph, policy, first_seed=3, max_steps=8)
        camera = request.getfixturevalue("camera")
        graph.until(lambda: sim.count_subscribers("/camera/image_raw") == 1)
        # A chunk of one row at a time: the bridge keeps one image only, so that it must be fetched in between.
        policy.plan = lambda state: [policy.chunk(state, n_action_steps=1)] if state.await_chunk else []
        run(graph, policy, first_seed=3, max_steps=8)
        seen = seen_while_moving(policy)
        assert seen[:9] == seen[9:]
        moving = set(stamps(states(policy))[9:])
        drawn = [stamp for stamp in stamps(camera["image_raw"]) if stamp in moving]
        assert len(drawn) in (4, 5)
        assert set(np.diff(drawn).tolist()) == {2 * STEP}
        graph.until(lambda: len({len(heard) for heard in camera.values()}) == 1)
        for colour, depth, info in zip(*camera.values(), strict=True):
            assert colour.header == depth.header == info.header
            assert (colour.height, colour.width, colour.encoding) == (48, 64, "rgb8")
            assert (depth.height, depth.width, depth.encoding) == (48, 64, "32FC1")
            assert (info.height, info.width, info.header.frame_id) == (48, 64, "agentview_optical_frame")
        assert info.k[2] == 31.5 and info.p[5] == info.k[4] > 0

    @pytest.fixture
    def displaying(self, sim, camera):
        """The bridge with a solid before its camera, until the test is over."""

        def begin_anew(display):
            sim.trigger_deactivate()
            sim.trigger_cleanup()
            assert sim.set_parameters([Parameter("display", value=display)])[0].successful
            sim.trigger_configure()
            sim.trigger_activate()

        begin_anew("cylinder")
        yield camera
        begin_anew("")

    @pytest.mark.parametrize("mode", ["lockstep", "realtime"])
    def test_tells_with_every_image_where_the_solid_before_it_is(self, sim, graph, policy, displaying, mode):
        poses, regions = [], []
        policy.create_subscription(PoseStamped, "/display/pose", poses.append, qos.events())
        policy.create_subscription(RegionOfInterest, "/display/region", regions.append, qos.images())
        graph.until(lambda: sim.count_subscribers("/display/pose") and sim.count_subscribers("/display/region"))
        set_parameter(sim, "mode", mode)
        policy.plan = lambda state: [policy.chunk(state, n_action_steps=1)] if state.await_chunk else []
        run(graph, policy, max_steps=8)
        set_parameter(sim, "mode", "lockstep")
        graph.until(lambda: len(poses) > 3 and poses[-1].header == displaying["image_raw"][-1].header)
        for pose in poses:
            turned = Display("cylinder", time_to_nanoseconds(pose.header.stamp) / NANOSECONDS)
            position, quat = pose.pose.position, pose.pose.orientation
            assert [position.x, position.y, position.z] == turned.position.tolist()
            told = quat_xyzw_to_matrix([quat.x, quat.y, quat.z, quat.w])
            assert np.allclose(told, turned.rotation, atol=1e-12)
        column, row, side = turned.region(np.array(displaying["camera_info"][-1].k).reshape(3, 3))
        (region,) = {(each.x_offset, each.y_offset, each.width, each.height) for each in regions}
        assert region == (column, row, side, side)


class TestLifecycle:
    def test_time_goes_on_over_a_new_scene(self, sim, graph, policy):
        run(graph, policy, max_steps=1)
        before, episode = stamps(states(policy))[-1], states(policy)[-1].episode
        sim.trigger_deactivate()
        assert not start(graph, policy).accepted
        sim.trigger_cleanup()
        sim.trigger_configure()
        sim.trigger_activate()
        run(graph, policy, max_steps=1)
        assert stamps(states(policy))[-1] > before
        assert states(policy)[-1].episode > episode

    def test_deactivating_aborts_the_run(self, sim, graph, policy):
        policy.plan = lambda state: []
        result = start(graph, policy, episodes=2).get_result_async()
        sim.trigger_deactivate()
        answer = graph.wait(result)
        sim.trigger_activate()
        assert answer.status == GoalStatus.STATUS_ABORTED
        assert answer.result.results[0].reason == "the simulator was shut down or deactivated"

    def test_every_parameter_is_described(self, sim):
        names = "task", "mode", "max_steps", "chunk_timeout", "policy_timeout", "chunk_topic", "camera.rate", "display"
        for name in names:
            assert sim.describe_parameter(name).description

    def test_an_unknown_mode_is_refused(self, sim):
        outcome = sim.set_parameters([Parameter("mode", value="fast")])[0]
        assert not outcome.successful
        assert outcome.reason == "mode is 'fast', expected one of: lockstep, realtime"


@pytest.fixture
def faraway_policy():
    """A policy on a domain without the bridge that the other tests share."""
    context = Context()
    context.init(args=[], domain_id=FAR_DOMAIN)
    node = Policy(context)
    yield node
    node.action.destroy()
    node.destroy_node()
    context.try_shutdown()


def test_an_interrupt_in_mid_episode_reports_it_and_ends_the_process(faraway_policy):
    policy, environment = faraway_policy, {**os.environ, "ROS_DOMAIN_ID": str(FAR_DOMAIN)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sim.node"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        graph = Graph(policy)
        policy.plan = lambda state: [policy.chunk(state)] if state.await_chunk and state.step == 0 else []
        graph.until(lambda: policy.heard["/episode/state"] and policy.action.server_is_ready(), timeout=60.0)
        start(graph, policy, max_steps=100)
        graph.until(lambda: states(policy) and states(policy)[-1].step == 8)
        process.send_signal(signal.SIGINT)
        graph.until(lambda: policy.heard["/episode/result"], timeout=5.0)
        errors = process.communicate(timeout=5.0)[1]
    finally:
        process.kill()
        graph.executor.shutdown()
    result = policy.heard["/episode/result"][0]
    assert (result.outcome, result.reason) == (EpisodeResult.ABORTED, "the simulator was shut down or deactivated")
    assert process.returncode == 0
    assert "Traceback" not in errors and "Exception" not in errors

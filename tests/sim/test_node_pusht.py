"""The bridge with Push-T: another simulator, another control rate, actions of another size, no joints."""

from __future__ import annotations

import os

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("gym_pusht")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from psr_interfaces.msg import EpisodeResult, EpisodeState  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from psr_ros import qos  # noqa: E402
from psr_ros.messages import NANOSECONDS, seconds_to_duration  # noqa: E402
from sim.environments import make_env  # noqa: E402
from tests.sim.test_node import Graph, Policy, bridge, set_parameter, stamps, start, states  # noqa: E402

pytestmark = pytest.mark.ros

DOMAIN = 50 + os.getpid() % 10  # of its own: other tests must not be heard
PERIOD = 0.1
ROWS = np.array([[256 + 3 * i, 300 - 2 * i] for i in range(40)], np.float32)


@pytest.fixture(scope="module", autouse=True)
def ros():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        rclpy.init(args=[])
        yield
        rclpy.try_shutdown()


@pytest.fixture
def sim(ros):
    yield from bridge([Parameter("task", value="PushT")])


@pytest.fixture
def policy(ros):
    node = Policy()
    node.create_subscription(PoseStamped, "/objects/block_point_3/pose", node.heard["point"].append, qos.events())
    node.plan = lambda state: [chunk(node, state)] if state.await_chunk else []
    yield node
    node.action.destroy()
    node.destroy_node()


@pytest.fixture
def graph(sim, policy):
    made = Graph(sim, policy)
    made.until(policy.action.server_is_ready)
    made.until(lambda: sim.count_publishers("/policy/chunk") == 1 and sim.count_subscribers("/episode/state") >= 2)
    yield made
    made.executor.shutdown()


def chunk(policy, state, rows=None, **changes):
    rows = ROWS[state.step : state.step + 15] if rows is None else rows
    return policy.chunk(state, rows, **{"step_period": seconds_to_duration(PERIOD), **changes})


def test_an_episode_is_the_one_without_ros(graph, policy):
    handle = start(graph, policy, first_seed=5, episodes=1, max_steps=20)
    result = graph.wait(handle.get_result_async()).result
    (episode,) = result.results
    assert (episode.task, episode.outcome, episode.steps, episode.chunks) == ("PushT", EpisodeResult.FAILURE, 20, 3)
    graph.until(lambda: len(states(policy)) == 21)
    running = stamps(states(policy))
    assert np.diff(running).tolist() == [NANOSECONDS // 10] * 20
    assert states(policy)[-1].status == EpisodeState.DONE
    assert not policy.heard["/joint_states"]

    env = make_env("PushT")
    observations = [env.reset(5), *(env.step(row) for row in ROWS[:20])]
    assert episode.max_reward == pytest.approx(max(o.reward for o in observations))
    for heard, expected in (
        (policy.heard["/ee_pose"], [o.eef_position for o in observations]),
        (policy.heard["point"], [o.objects["block_point_3"][0] for o in observations]),
    ):
        graph.until(lambda heard=heard: heard and stamps(heard[-1:])[0] >= running[-1])
        at = {
            stamp: [m.pose.position.x, m.pose.position.y, m.pose.position.z]
            for stamp, m in zip(stamps(heard), heard, strict=True)
        }
        assert [at[stamp] for stamp in running] == np.array(expected).tolist()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step_period": seconds_to_duration(0.05)}, "step_period is 0.05 s, expected 0.1 s"),
        ({"rows": np.zeros((8, 10))}, "action rows have shape (8, 10), expected (R, 2)"),
    ],
)
def test_chunks_for_another_task_are_refused(sim, graph, policy, changes, why):
    set_parameter(sim, "policy_timeout", 0.1)
    policy.plan = lambda state: [chunk(policy, state, **changes)]
    result = graph.wait(start(graph, policy).get_result_async()).result
    assert result.aborted == 1
    assert f"the last one was refused, {why}" in result.message

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from rclpy.context import Context  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSCompatibility, ReliabilityPolicy, qos_check_compatible  # noqa: E402
from std_msgs.msg import Int32, String  # noqa: E402

from psr_ros import qos  # noqa: E402


class TestProfiles:
    def test_newest_connects_to_every_publisher(self):
        for publisher in (qos.events(), qos.images("reliable"), qos.images("best_effort")):
            assert qos_check_compatible(publisher, qos.newest())[0] != QoSCompatibility.ERROR
        assert qos_check_compatible(qos.newest(), qos.events())[0] == QoSCompatibility.ERROR

    def test_events_lose_nothing_within_a_hundred(self):
        assert qos.events().reliability == ReliabilityPolicy.RELIABLE
        assert qos.events().depth == 100

    def test_images_keep_one(self):
        assert qos.images().depth == 1
        assert qos.images("best_effort").reliability == ReliabilityPolicy.BEST_EFFORT

    def test_images_refuse_another_word(self):
        with pytest.raises(ValueError, match="'fast', expected one of: reliable, best_effort"):
            qos.images("fast")


class TestSilence:
    @pytest.fixture
    def subscription(self, graph):
        node = graph.add(Node("listener"))
        return node.create_subscription(String, "x", lambda _: None, qos.events())

    def test_nobody_publishes(self, graph, subscription):
        assert qos.silence(graph.nodes[0], subscription).startswith("nobody publishes /x")

    def test_is_over_once_somebody_does(self, graph, subscription):
        graph.nodes[0].create_publisher(String, "x", qos.events())
        graph.until(lambda: not qos.silence(graph.nodes[0], subscription))

    @pytest.mark.parametrize(("kind", "profile"), [(Int32, qos.events()), (String, qos.images("best_effort"))])
    def test_a_publisher_that_does_not_connect(self, graph, subscription, kind, profile):
        node = graph.nodes[0]
        with Context() as other_process:
            talker = Node("talker", context=other_process)
            talker.create_publisher(kind, "x", profile)
            graph.until(lambda: "nobody" not in qos.silence(node, subscription))
            reason = qos.silence(node, subscription)
            talker.destroy_node()
        name = f"std_msgs/msg/{kind.__name__}"
        assert reason == f"/x is published as {name}, which does not connect: another type, or not reliable"

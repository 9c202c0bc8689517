"""Quality of service of the suite's topics, in one place: both ends of a topic must agree or nothing arrives."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

# Seconds until both ends of a topic know each other: DDS repeats its announcements every 3 s, and first ones get lost.
DISCOVERY = 3.5
RELIABILITIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


def _keep_last(depth: int, reliability: str) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=RELIABILITIES[reliability],
        durability=DurabilityPolicy.VOLATILE,
    )


def events() -> QoSProfile:
    """Episode states and results, action chunks, and a simulator's observations: none may be lost."""
    return _keep_last(100, "reliable")


def newest() -> QoSProfile:
    """A robot's observations, of which only the newest counts; best effort connects to every kind of publisher."""
    return _keep_last(1, "best_effort")


def images(reliability: str = "reliable") -> QoSProfile:
    """Images, keep-last 1. "best_effort" loses large images unless the middleware's buffers are enlarged
    (config/fastdds_shm.xml). Raises ValueError on another word.
    """
    if reliability not in RELIABILITIES:
        raise ValueError(f"reliability is {reliability!r}, expected one of: {', '.join(RELIABILITIES)}")
    return _keep_last(1, reliability)


def latched() -> QoSProfile:
    """What stays true until the next message: whoever comes late gets the last one, too."""
    profile = _keep_last(1, "reliable")
    profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return profile


def silence(node: Node, subscription: Subscription) -> str:
    """Why nothing can come in on a subscription, in words, or an empty text when a publisher is connected."""
    if subscription.get_publisher_count():
        return ""
    topic = subscription.topic_name
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return f"nobody publishes {topic}; start what does, or remap the topic"
    types = ", ".join(sorted({publisher.topic_type for publisher in publishers}))
    wanted = subscription.qos_profile.reliability.name.lower()
    return f"{topic} is published as {types}, which does not connect: another type, or not {wanted}"

"""Plain values <-> ROS messages: steering, durations, stamps, and message classes by name."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Duration, Time
from psr_interfaces.msg import Steering as SteeringMessage

from psr_core.steering import Steering

NANOSECONDS = 1_000_000_000


def steering_to_message(steering: Steering) -> SteeringMessage:
    """Field by field."""
    return SteeringMessage(**steering.to_dict())


def steering_from_message(message: SteeringMessage) -> Steering:
    """Field by field. Raises ValueError where the message holds no valid steering (an unfilled one does not)."""
    return Steering(
        k=message.k, sigma=message.sigma, method=message.method, integrator=message.integrator, cap=message.cap
    )


def nanoseconds_to_time(nanoseconds: int) -> Time:
    """Integer nanoseconds, 0 to less than 2**31 s, to a stamp. Raises ValueError outside."""
    if not 0 <= nanoseconds < 2**31 * NANOSECONDS:
        raise ValueError(f"time is {nanoseconds} ns, expected 0 to less than 2**31 s")
    sec, nanosec = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def time_to_nanoseconds(stamp: Time) -> int:
    """A stamp as integer nanoseconds: exact, so that equal stamps are equal numbers."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def seconds_to_duration(seconds: float) -> Duration:
    """Seconds, rounded to nanoseconds; nanosec is positive for negative durations too, as ROS has it."""
    sec, nanosec = divmod(round(seconds * NANOSECONDS), NANOSECONDS)
    return Duration(sec=sec, nanosec=nanosec)


def duration_to_seconds(duration: Duration) -> float:
    """Seconds of a duration."""
    return float(duration.sec) + duration.nanosec / NANOSECONDS


def arrival_time(info: Mapping[str, Any]) -> int:
    """When a message reached this process, ns of the wall clock, by what its callback is told; some middlewares do not
    say, then it is now."""
    return int(info.get("received_timestamp") or 0) or time.time_ns()


def message_class(name: str) -> type[Any]:
    """The class of a message type such as "geometry_msgs/msg/PoseStamped".

    Raises ValueError on a name of another form, or of a message that is not installed.
    """
    package, _, rest = name.partition("/")
    kind, _, message = rest.partition("/")
    if not (package and kind == "msg" and message.isidentifier()):
        raise ValueError(f"type is {name!r}, expected the form geometry_msgs/msg/PoseStamped")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), message)
    except (ImportError, AttributeError):
        raise ValueError(f"message type {name} is not installed; check the spelling or install {package}") from None
    return found

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("psr_interfaces")

from builtin_interfaces.msg import Duration, Time  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from psr_interfaces.msg import Steering as SteeringMessage  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_ros import messages  # noqa: E402

positive = st.floats(1e-6, 1e6)


class TestSteering:
    @given(st.builds(Steering, k=positive, sigma=positive, method=st.sampled_from(["psr", "none"])))
    def test_round_trip(self, steering):
        assert messages.steering_from_message(messages.steering_to_message(steering)) == steering

    def test_an_unfilled_message_is_refused(self):
        with pytest.raises(ValueError, match="k is 0"):
            messages.steering_from_message(SteeringMessage())


class TestTimes:
    @given(st.integers(0, 2**31 * 10**9 - 1))
    def test_stamps_are_exact(self, nanoseconds):
        assert messages.time_to_nanoseconds(messages.nanoseconds_to_time(nanoseconds)) == nanoseconds

    @pytest.mark.parametrize("nanoseconds", [-1, 2**31 * 10**9])
    def test_stamps_out_of_range_are_refused(self, nanoseconds):
        with pytest.raises(ValueError, match="expected 0 to less than"):
            messages.nanoseconds_to_time(nanoseconds)

    def test_a_stamp(self):
        assert messages.nanoseconds_to_time(2_050_000_000) == Time(sec=2, nanosec=50_000_000)

    @given(st.floats(-1e6, 1e6))
    def test_durations_round_to_nanoseconds(self, seconds):
        back = messages.duration_to_seconds(messages.seconds_to_duration(seconds))
        assert back == pytest.approx(seconds, abs=1e-9)

    def test_a_negative_duration_has_positive_nanoseconds(self):
        assert messages.seconds_to_duration(-0.25) == Duration(sec=-1, nanosec=750_000_000)


class TestMessageClass:
    def test_finds_a_class(self):
        assert messages.message_class("geometry_msgs/msg/PoseStamped") is PoseStamped

    @pytest.mark.parametrize(
        "name", ["PoseStamped", "geometry_msgs/PoseStamped", "geometry_msgs/srv/Pose", "a/msg/b c"]
    )
    def test_names_the_form_it_expects(self, name):
        with pytest.raises(ValueError, match="expected the form geometry_msgs/msg/PoseStamped"):
            messages.message_class(name)

    @pytest.mark.parametrize("name", ["nowhere_msgs/msg/Pose", "geometry_msgs/msg/Posse"])
    def test_says_that_a_type_is_not_installed(self, name):
        with pytest.raises(ValueError, match=f"{name} is not installed"):
            messages.message_class(name)


class TestArrival:
    def test_is_what_the_middleware_says(self):
        assert messages.arrival_time({"received_timestamp": 12, "source_timestamp": 3}) == 12

    @pytest.mark.parametrize("info", [{}, {"received_timestamp": 0}])
    def test_is_now_where_it_says_nothing(self, info):
        before = time.time_ns()
        assert before <= messages.arrival_time(info) <= time.time_ns()

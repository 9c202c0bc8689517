"""Messages find the control step they belong to, whatever the order they come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from psr_policy.ticks import NewestMessages, Tick, TickMatcher

TOPICS = ("/a", "/b")
SECOND = 10**9


def tick(step, stamp=None, **fields):
    return Tick(stamp=step * 50 if stamp is None else stamp, episode=1, seed=7, step=step, **fields)


class TestTickMatcher:
    def test_waits_for_every_topic(self):
        matcher = TickMatcher(TOPICS)
        matcher.add_tick(tick(0), arrival=5)
        assert matcher.take_ready() == []
        matcher.add_message("/a", 0, "a0", arrival=9)
        assert matcher.take_ready() == []
        matcher.add_message("/b", 0, "b0", arrival=8)
        (ready,) = matcher.take_ready()
        assert ready.tick == tick(0)
        assert ready.messages == {"/a": "a0", "/b": "b0"}
        assert ready.arrival == 9
        assert matcher.take_ready() == []

    def test_another_stamp_does_not_do(self):
        matcher = TickMatcher(["/a"])
        matcher.add_tick(tick(1), 0)
        for stamp in (49, 51):
            matcher.add_message("/a", stamp, "wrong", 0)
        assert matcher.take_ready() == []

    @given(st.randoms(use_true_random=False), st.integers(1, 6))
    def test_topics_may_come_in_any_order_among_themselves(self, random, steps):
        """Each topic keeps its order, as ROS promises; how they interleave is left to chance."""
        queues = {topic: list(range(steps)) for topic in (*TOPICS, "tick")}
        matcher, seen = TickMatcher(TOPICS), []
        while any(queues.values()):
            topic = random.choice([name for name, queue in queues.items() if queue])
            step = queues[topic].pop(0)
            if topic == "tick":
                matcher.add_tick(tick(step), 0)
            else:
                matcher.add_message(topic, step * 50, (topic, step), 0)
            seen += matcher.take_ready()
        assert [ready.tick.step for ready in seen] == list(range(steps))
        assert all(ready.messages == {t: (t, ready.tick.step) for t in TOPICS} for ready in seen)
        assert matcher.dropped == 0

    def test_a_lost_message_costs_its_step_only(self):
        matcher = TickMatcher(["/a"])
        for step in (0, 1, 2):
            matcher.add_tick(tick(step), 0)
        matcher.add_message("/a", 100, "a2", 0)
        assert [ready.tick.step for ready in matcher.take_ready()] == [2]
        assert matcher.dropped == 2
        matcher.add_message("/a", 50, "late", 0)
        assert matcher.take_ready() == []

    def test_a_repeated_tick_waits_once(self):
        matcher = TickMatcher(["/a"])
        matcher.add_tick(tick(0), arrival=1)
        matcher.add_tick(tick(0), arrival=2)
        matcher.add_message("/a", 0, "a0", 0)
        assert len(matcher.take_ready()) == 1

    def test_a_repeated_tick_can_be_answered_again(self):
        matcher = TickMatcher(["/a"])
        for _ in range(2):
            matcher.add_message("/a", 0, "a0", 0)
            matcher.add_tick(tick(0), 0)
            assert len(matcher.take_ready()) == 1

    def test_what_came_before_a_restarted_source_is_not_mixed_in(self):
        matcher = TickMatcher(TOPICS)
        matcher.add_message("/a", 50, "old", 0)
        matcher.add_message("/a", 0, "new", 0)
        matcher.add_message("/b", 0, "new", 0)
        matcher.add_tick(tick(0), 0)
        matcher.take_ready()
        matcher.add_tick(tick(1), 0)
        matcher.add_message("/b", 50, "new", 0)
        assert matcher.take_ready() == []

    def test_keeps_no_more_than_its_depth(self):
        matcher = TickMatcher(["/a"], depth=3)
        for step in range(10):
            matcher.add_message("/a", step * 50, step, 0)
        matcher.add_tick(tick(6), 0)
        assert matcher.take_ready() == []
        matcher.add_tick(tick(7), 0)
        assert len(matcher.take_ready()) == 1

    def test_says_what_the_oldest_step_waits_for(self):
        matcher = TickMatcher(TOPICS)
        assert matcher.problem(99 * SECOND, timeout=1.0) == ""
        matcher.add_tick(tick(8), arrival=SECOND)
        matcher.add_message("/b", 400, "b", 0)
        assert matcher.problem(2 * SECOND, timeout=1.0) == ""
        text = matcher.problem(int(2.5 * SECOND), timeout=1.0)
        assert text == "step 8 waits since 1.5 s for a message of stamp 400 ns on /a"


class TestNewestMessages:
    def test_keeps_the_newest(self):
        newest = NewestMessages(TOPICS)
        newest.add_message("/a", 1, "old", 10)
        newest.add_message("/a", 2, "new", 20)
        newest.add_message("/b", 2, "b", 15)
        assert newest.messages == {"/a": "new", "/b": "b"}
        assert newest.arrival == 20

    def test_says_what_never_came(self):
        assert NewestMessages(TOPICS).problem(0, 1.0, 0) == "no message on /a yet; no message on /b yet"

    def test_says_what_is_old_by_arrival_or_by_stamp(self):
        newest = NewestMessages(TOPICS)
        newest.add_message("/a", 100 * SECOND, "a", 5 * SECOND)
        newest.add_message("/b", 100 * SECOND, "b", 5 * SECOND)
        assert newest.problem(6 * SECOND, 1.0, 101 * SECOND) == ""
        assert "on /a is 2.0 s old, expected at most 1 s" in newest.problem(7 * SECOND, 1.0, 101 * SECOND)
        assert "on /b is 3.0 s old" in newest.problem(6 * SECOND, 1.0, 103 * SECOND)

    def test_goes_by_arrival_where_there_is_no_stamp(self):
        newest = NewestMessages(["/a"])
        newest.add_message("/a", 0, "a", 5 * SECOND)
        assert newest.problem(5 * SECOND, 1.0, 10**18) == ""
        assert newest.problem(7 * SECOND, 1.0, 10**18) != ""

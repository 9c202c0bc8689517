"""Pairs by stamp, the one-slot worker under load, and what the statistics say."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.frames import KEPT, PATIENCE, FrameStatistics, NewestWorker, StampPairs


class TestStampPairs:
    def pairs(self, *messages):
        """The pairs that (topic, stamp) in this order make; each message is its stamp with its topic's initial."""
        matcher = StampPairs("image", "info")
        found = [matcher.add(topic, stamp, f"{topic[1]}{stamp}") for topic, stamp in messages]
        return [pair for pair in found if pair], matcher

    @pytest.mark.parametrize("order", itertools.permutations([("image", 5), ("info", 5), ("info", 4)]))
    def test_either_may_come_first(self, order):
        assert self.pairs(*order)[0] == [("m5", "n5")]

    @given(st.lists(st.tuples(st.sampled_from(["image", "info"]), st.integers(0, 5)), max_size=40))
    def test_are_always_of_one_stamp_and_each_message_is_used_once(self, messages):
        found, matcher = self.pairs(*messages)
        for image, info in found:
            assert image[1:] == info[1:]
        for topic in ("image", "info"):
            assert len(found) <= sum(name == topic for name, _ in messages)
        assert all(len(waiting) <= KEPT for waiting in matcher._waiting)

    def test_make_what_came_before_obsolete(self):
        found, matcher = self.pairs(("image", 1), ("image", 2), ("info", 2), ("info", 1))
        assert found == [("m2", "n2")]
        assert list(matcher._waiting[0]) == []

    def test_are_found_again_after_time_went_back(self):
        assert self.pairs(("image", 9), ("info", 9), ("image", 1), ("info", 1))[0] == [("m9", "n9"), ("m1", "n1")]

    def test_forget_the_oldest_of_a_topic_alone(self):
        found, _ = self.pairs(*(("image", stamp) for stamp in range(KEPT + 1)), ("info", 0), ("info", 1))
        assert found == [("m1", "n1")]

    def test_say_when_only_one_topic_comes(self):
        _, matcher = self.pairs(*(("image", stamp) for stamp in range(PATIENCE - 1)))
        assert matcher.problem == ""
        matcher.add("image", 99, "")
        assert matcher.problem == "image comes, info does not; start what publishes it"

    def test_say_when_stamps_never_agree_until_they_do(self):
        _, matcher = self.pairs(*((("image", "info")[n % 2], 10**9 * n) for n in range(2 * PATIENCE)))
        assert matcher.problem.startswith("image and info never have the same stamp (the newest: 4.000000 and 5.0")
        matcher.add("image", 5 * 10**9, "")
        assert matcher.problem == ""


class Work:
    """Work that waits to be let go on, and keeps what it did."""

    def __init__(self):
        self.begun, self.done, self.gate = [], [], threading.Semaphore(0)
        self.worker = NewestWorker(self.work, lambda item, outcome: self.done.append((item, outcome)))

    def work(self, item):
        self.begun.append(item)
        assert self.gate.acquire(timeout=10)
        if isinstance(item, Exception):
            raise item
        return item * 10

    def until(self, condition):
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.001)


@pytest.fixture
def work():
    made = Work()
    yield made
    made.gate.release(100)
    made.worker.close(10)


class TestNewestWorker:
    def test_hands_out_what_work_returns(self, work):
        work.gate.release()
        assert work.worker.offer(3) == 0
        work.until(lambda: work.done)
        assert work.done == [(3, 30)]
        assert not work.worker.busy

    def test_works_on_the_newest_only_and_counts_the_others(self, work):
        work.worker.offer(0)
        work.until(lambda: work.begun)
        assert [work.worker.offer(item) for item in (1, 2, 3)] == [0, 1, 1]
        work.gate.release(2)
        work.until(lambda: len(work.done) == 2)
        assert work.begun == [0, 3]

    def test_offering_never_waits_for_the_work(self, work):
        work.worker.offer(0)
        work.until(lambda: work.begun)
        started = time.monotonic()
        for item in range(100):
            work.worker.offer(item)
        assert time.monotonic() - started < 1
        assert work.worker.busy

    def test_an_error_is_an_outcome_and_work_goes_on(self, work):
        error = RuntimeError("lost device")
        work.gate.release(2)
        work.worker.offer(error)
        work.until(lambda: work.done)
        work.worker.offer(1)
        work.until(lambda: len(work.done) == 2)
        assert work.done == [(error, error), (1, 10)]

    def test_what_is_discarded_is_not_worked_on(self, work):
        work.worker.offer(0)
        work.until(lambda: work.begun)
        work.worker.offer(1)
        assert work.worker.discard() == 1
        assert work.worker.discard() == 0
        work.gate.release(2)
        work.until(lambda: not work.worker.busy)
        assert work.begun == [0]

    def test_closed_it_says_nothing_more_and_does_not_wait(self, work):
        work.worker.offer(0)
        work.until(lambda: work.begun)
        started = time.monotonic()
        work.worker.close()
        assert time.monotonic() - started < 1
        work.gate.release()
        work.worker.close(10)
        assert not work.worker._thread.is_alive()
        work.worker.offer(1)
        assert (work.begun, work.done) == ([0], [])

    def test_from_many_threads_every_item_is_worked_on_or_dropped_and_order_is_kept(self):
        done, dropped, lock = [], [], threading.Lock()
        worker = NewestWorker(lambda item: item, lambda item, outcome: done.append(item))

        def offer(first):
            for item in range(first, first + 200):
                count = worker.offer(item)
                with lock:
                    dropped.append(count)

        threads = [threading.Thread(target=offer, args=(1000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end = time.monotonic() + 10
        while worker.busy and time.monotonic() < end:
            time.sleep(0.001)
        worker.close(10)
        assert len(done) + sum(dropped) == 800
        for n in range(4):
            own = [item for item in done if item // 1000 == n]
            assert own == sorted(set(own))


class TestFrameStatistics:
    def test_count_and_measure(self):
        statistics = FrameStatistics()
        for index in range(11):
            statistics.publish(float(index), latency=index / 10, inference=index / 20)
        statistics.drop(3)
        statistics.fail()
        assert (statistics.published, statistics.dropped, statistics.failed) == (11, 3, 1)
        assert statistics.latency(50) == pytest.approx(0.5)
        assert statistics.latency(95) == pytest.approx(0.95)
        assert statistics.inference(50) == pytest.approx(0.25)
        assert statistics.drop_rate == pytest.approx(3 / 15)
        assert statistics.rate(10.5, span=5.0) == pytest.approx(5 / 5)

    def test_look_at_the_last_frames_only(self):
        statistics = FrameStatistics(window=4)
        statistics.drop(4)
        assert statistics.drop_rate == 1
        for index in range(4):
            statistics.publish(0.0, latency=float(index), inference=0.0)
        assert statistics.drop_rate == 0
        assert statistics.dropped == 4

    def test_before_the_first_frame_are_zero(self):
        statistics = FrameStatistics()
        assert (statistics.latency(50), statistics.inference(95), statistics.drop_rate, statistics.rate(1.0)) == (
            0,
        ) * 4

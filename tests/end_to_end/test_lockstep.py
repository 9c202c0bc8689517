"""Lock-step over the real graph: repeatable, equal to rollouts without ROS, steered live, and the bag proves it."""

from types import SimpleNamespace

import numpy as np
import pytest

from psr_core.steering import Steering
from psr_eval.bag_reader import BagReader, decode
from psr_eval.episodes import read_contents
from psr_eval.rollouts import RolloutPlan, Rollouts
from psr_eval.scores import score
from psr_eval.steering_changes import steering_changes
from psr_ros.clients import ParameterClient, RosSession
from tests.end_to_end.graph import CHECKPOINT, Once, running_graph

pytestmark = pytest.mark.ros
SEED, STEPS = 100_000, 30
SEEDS, REPEATED = 10, 3  # whole episodes: run once, and the first of them again


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One bag: the same seeds twice, then steered between episodes, then steered in mid-episode."""
    with running_graph(tmp_path_factory.mktemp("lockstep")) as graph:
        first = graph.run(SEED, SEEDS, 0)
        again = graph.run(SEED, REPEATED, 0)
        accepted = graph.set("steering.k", 2.0)
        refused = {value: graph.set("steering.k", value) for value in (-1.0, 0.0, float("nan"), "sharp")}
        steered = graph.run(SEED, REPEATED, STEPS)
        with RosSession("elsewhere") as session:
            policy = ParameterClient(session, "/policy")
            policy.get("steering.k")  # so that the connection is there when it is needed
            mixed = graph.run(SEED, 1, 0, Once(5, lambda: policy.set("steering.k", 0.5)))
        bag = graph.bag
    chunks: dict[int, list[np.ndarray]] = {}
    for message in BagReader(bag).messages(["psr_interfaces/msg/ActionChunk"]):
        chunk = decode(message)
        chunks.setdefault(chunk.episode, []).append(np.asarray(chunk.data).reshape(chunk.horizon, chunk.dim))
    return SimpleNamespace(
        first=first,
        again=again,
        steered=steered,
        mixed=mixed,
        accepted=accepted,
        refused=refused,
        bag=bag,
        chunks=chunks,
    )


def _assert_same_chunks(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype == np.float32
        np.testing.assert_array_equal(mine, other)


class TestRepetition:
    def test_same_seeds_twice_give_identical_chunks(self, recorded):
        assert [result.seed for result in recorded.again] == list(range(SEED, SEED + REPEATED))
        for one, two in zip(recorded.first, recorded.again, strict=False):
            assert (one.seed, one.outcome, one.steps) == (two.seed, two.outcome, two.steps)
            _assert_same_chunks(recorded.chunks[one.episode], recorded.chunks[two.episode])

    def test_rollouts_without_ros_give_the_same_chunks(self, recorded):
        rollouts = Rollouts(RolloutPlan("Lift", CHECKPOINT))
        assert len(recorded.first) == SEEDS
        for result in recorded.first:
            outcome = rollouts.run(result.seed, keep_chunks=True)
            assert (outcome.success, outcome.steps) == (result.success, result.steps)
            _assert_same_chunks(recorded.chunks[result.episode], outcome.chunks)


class TestLiveSteering:
    def test_next_episodes_carry_the_new_value(self, recorded):
        assert recorded.accepted.successful
        assert {result.steering.k for result in recorded.first} == {1.0}
        assert {result.steering.k for result in recorded.steered} == {2.0}
        assert not any(result.mixed_steering for result in [*recorded.first, *recorded.steered])

    def test_it_changes_what_is_sampled(self, recorded):
        plain, steered = (recorded.chunks[results[0].episode][0] for results in (recorded.first, recorded.steered))
        assert not np.array_equal(plain, steered)

    def test_bad_values_are_refused_and_the_old_one_stays(self, recorded):
        for value, outcome in recorded.refused.items():
            assert not outcome.successful, value
            assert "steering.k" in outcome.reason
            assert outcome.value == 2.0

    def test_turned_in_mid_episode_it_acts_on_the_next_chunk(self, recorded):
        (result,) = recorded.mixed
        assert result.mixed_steering
        ks = [c.steering.k for c in read_contents(recorded.bag).chunks if c.episode == result.episode]
        assert ks == sorted(ks, reverse=True)
        assert set(ks) == {2.0, 0.5}

    def test_the_bag_proves_that_no_chunk_ignored_a_change(self, recorded):
        changes = steering_changes(read_contents(recorded.bag))
        assert [change.value for change in changes if change.parameter == "steering.k"] == [2.0, 0.5]
        assert all(change.ok for change in changes)


class TestScore:
    def test_the_bag_holds_every_episode_once_by_setting(self, recorded):
        scores = score([read_contents(recorded.bag)])
        counts = {(group.setting.steering, group.setting.mixed_steering): group.n for group in scores.groups}
        assert counts[Steering(), False] == SEEDS + REPEATED
        assert counts[Steering(k=2.0), False] == REPEATED
        assert sum(counts.values()) == SEEDS + 2 * REPEATED + 1

import csv
import json
import shutil
from itertools import count

import pytest

from psr_core.statistics import wilson_interval
from psr_core.steering import Steering
from psr_eval.episodes import read_contents
from psr_eval.score_table import as_text, write_csv, write_json
from psr_eval.scores import read_bags, score
from psr_eval.steering_changes import steering_changes

SHARP = Steering(k=2.0, sigma=0.1)
MIXED = {"mixed_steering": True}
names = count()


@pytest.fixture
def scores_of(bag):
    """scores_of([(outcomes, what differs in the run), ...]): one bag each, seeds from 100 on, all scored together."""

    def build(*runs):
        folders = []
        for outcomes, differences in runs:
            number = next(names)
            made = bag(f"bag{number}", start=10**18 + number * 10**13, **differences)
            for seed, outcome in enumerate(outcomes, 100):
                made.play(seed, {"s": "success", "f": "failure", "a": "aborted"}[outcome])
            folders.append(made.close())
        return score(read_bags(folders)[0])

    return build


class TestGroups:
    def test_counts_rate_and_interval(self, scores_of):
        (group,) = scores_of(("ssfs", {"steps": 4})).groups
        assert (group.n, group.successes, group.rate) == (4, 3, 0.75)
        assert (group.low, group.high) == wilson_interval(3, 4)
        assert group.seeds == (100, 101, 102, 103)

    def test_aborted_episodes_are_in_no_other_number(self, scores_of):
        with_aborted, without = scores_of(("sasaf", {})).groups[0], scores_of(("ssf", {})).groups[0]
        assert with_aborted.aborted == 2
        assert (with_aborted.n, with_aborted.successes, with_aborted.low) == (without.n, without.successes, without.low)
        assert 101 not in with_aborted.seeds

    def test_only_aborted_episodes_have_no_rate(self, scores_of):
        (group,) = scores_of(("aa", {})).groups
        assert (group.n, group.rate, group.latency_p50, group.steps_mean) == (0, None, None, None)

    @pytest.mark.parametrize(
        "difference",
        [
            {"task": "can"},
            {"checkpoint": "other@ba9876543210"},
            {"steering": SHARP},
            {"sampler": "ddpm"},
            {"num_inference_steps": 8},
            {"mode": "realtime"},
        ],
    )
    def test_what_differs_is_counted_apart(self, scores_of, difference):
        assert [group.n for group in scores_of(("s", {}), ("s", difference)).groups] == [1, 1]

    def test_equal_settings_in_several_bags_are_counted_together(self, scores_of):
        assert [group.n for group in scores_of(("sf", {}), ("sff", {})).groups] == [5]

    def test_episodes_with_a_turn_of_the_dial_are_a_group_of_their_own(self, bag):
        made = bag()
        made.play(1)
        made.play(2, **MIXED)
        groups = score([read_contents(made.close())]).groups
        assert [(group.setting.mixed_steering, group.n) for group in groups] == [(False, 1), (True, 1)]

    def test_an_episode_without_a_chunk_has_no_steering(self, bag):
        made = bag()
        made.episode = 1
        made.result(5, "aborted", chunks=0, steering={}, reason="no policy")
        (group,) = score([read_contents(made.close())]).groups
        assert group.setting.steering is None
        assert "no chunk" in as_text(score([read_contents(made.writer.folder)]))

    def test_episodes_without_a_policy_stand_last(self, bag):
        made = bag()
        made.episode = 1
        made.result(5, "aborted", chunks=0, steering={}, checkpoint="", sampler="", num_inference_steps=0)
        made.play(6)
        scores = score([read_contents(made.close())])
        assert [group.n for group in scores.groups] == [1, 0]
        assert "lift, no policy, lockstep" in as_text(scores)

    def test_steps_are_those_of_successes(self, bag):
        made = bag()
        for seed, (outcome, steps) in enumerate([("success", 10), ("success", 20), ("success", 60), ("failure", 400)]):
            made.play(seed, outcome, steps=steps)
        (group,) = score([read_contents(made.close())]).groups
        assert (group.steps_mean, group.steps_median) == (30, 20)

    def test_misses_and_late_rows_are_summed(self, bag):
        made = bag()
        made.play(1, deadline_misses=2, late_rows=5)
        made.play(2, "aborted", deadline_misses=100, late_rows=100)
        made.play(3, deadline_misses=1)
        (group,) = score([read_contents(made.close())]).groups
        assert (group.deadline_misses, group.late_rows) == (3, 5)

    def test_latencies_are_those_of_the_chunks_of_counted_episodes(self, bag):
        made = bag(steps=8)  # one chunk each
        for seed, latency in enumerate((0.01, 0.02, 0.03)):
            made.run = type(made.run)(steps=8, latency=latency)
            made.play(seed)
        made.run = type(made.run)(steps=8, latency=9.0)
        made.play(9, "aborted")
        made.episode += 1
        made.chunk(0)
        (group,) = score([read_contents(made.close())]).groups
        assert group.latency_p50 == pytest.approx(0.02)
        assert group.latency_p95 == pytest.approx(0.029)

    def test_a_chunk_belongs_to_the_next_result_of_its_episode(self, bag):
        made = bag(steps=8)
        for latency in (0.01, 0.02):  # a restarted simulator counts its episodes from the beginning again
            made.run = type(made.run)(steps=8, latency=latency)
            made.episode = 0
            made.play(5)
        assert [one.latencies for one in read_contents(made.close()).episodes] == [(0.01,), (0.02,)]


class TestComparisons:
    def test_pairs_by_seed(self, scores_of):
        (one,) = scores_of(("ssffs", {}), ("sfss", {"steering": SHARP})).comparisons
        assert one.reference.steering.is_identity
        assert one.setting.steering == SHARP
        assert (one.pairs, one.both, one.only_reference, one.only_setting, one.neither) == (4, 1, 1, 2, 0)
        assert one.difference == 0.25
        assert one.p_value == 1.0
        assert one.low < 0.25 < one.high

    def test_aborted_episodes_are_no_partner(self, scores_of):
        (one,) = scores_of(("saf", {}), ("ssa", {"steering": SHARP})).comparisons
        assert (one.pairs, one.both) == (1, 1)

    def test_a_clear_difference_is_significant(self, scores_of):
        (one,) = scores_of(("f" * 12, {"steps": 1}), ("s" * 12, {"steps": 1, "steering": SHARP})).comparisons
        assert one.p_value == pytest.approx(2 / 2**12)
        assert (one.difference, one.low, one.high) == (1, 1, 1)

    def test_no_common_seed_no_comparison(self, bag):
        folders = []
        for number, steering in enumerate((Steering(), SHARP)):
            made = bag(f"bag{number}", steering=steering)
            made.play(number)
            folders.append(made.close())
        assert score(read_bags(folders)[0]).comparisons == []

    def test_steered_settings_are_compared_with_the_unsteered_one_of_their_kind(self, scores_of):
        flat = Steering(k=0.5, sigma=0.1)
        few = {"num_inference_steps": 4}
        comparisons = scores_of(
            ("s", {"steering": SHARP}),
            ("s", {"steering": flat}),
            ("s", {}),
            ("s", {"steering": SHARP} | few),
            ("s", few),
        ).comparisons
        pairs = [
            (one.setting.num_inference_steps, one.setting.steering.k, one.reference.num_inference_steps)
            for one in comparisons
        ]
        assert pairs == [(4, 2.0, 4), (16, 1.0, 4), (16, 0.5, 16), (16, 2.0, 16)]
        assert all(one.reference.steering.is_identity for one in comparisons)

    def test_without_an_unsteered_setting_the_first_one_is_the_reference(self, scores_of):
        (one,) = scores_of(("s", {"steering": SHARP}), ("s", {"steering": Steering(k=3.0)})).comparisons
        assert (one.reference.steering.k, one.setting.steering.k) == (2.0, 3.0)

    def test_mixed_episodes_are_not_compared(self, bag):
        made = bag()
        made.play(1)
        made.run = type(made.run)(steering=SHARP)
        made.play(1, **MIXED)
        assert score([read_contents(made.close())]).comparisons == []

    def test_tasks_are_not_compared_with_each_other(self, scores_of):
        assert scores_of(("s", {}), ("s", {"task": "can"})).comparisons == []


class TestDuplicates:
    def test_a_bag_named_twice_counts_once(self, bag):
        made = bag()
        made.play(1)
        bags, notes = read_bags([made.close(), made.writer.folder / ".." / "run"])
        assert len(bags) == 1
        assert "named more than once" in notes[0]

    def test_a_copied_bag_counts_once_and_says_so(self, bag, tmp_path):
        made = bag()
        made.play(1)
        made.play(2)
        copy = shutil.copytree(made.close(), tmp_path / "copy")
        scores = score(read_bags([made.writer.folder, copy])[0])
        assert [group.n for group in scores.groups] == [2]
        assert f"{copy}: 2 of 2 episodes are also in {made.writer.folder}; counted once" in scores.notes

    def test_repeated_seeds_are_no_duplicates_but_are_mentioned(self, scores_of):
        scores = scores_of(("sf", {}), ("sf", {}))
        assert [group.n for group in scores.groups] == [4]
        assert "2 episodes repeat a seed" in scores.notes[0]

    def test_losses_and_cut_off_episodes_are_mentioned(self, bag):
        made = bag()
        made.play(1)
        made.episode += 1
        made.state(2, 0)
        made.writer.flush()
        scores = score([read_contents(made.writer.folder)])
        assert "ends without a footer" in scores.notes[0]
        assert "1 episodes began and have no result" in scores.notes[1]
        assert [group.n for group in scores.groups] == [1]


class TestOutput:
    @pytest.fixture
    def scores(self, scores_of):
        return scores_of(("ssfa", {}), ("sss", {"steering": SHARP}), ("a", {"task": "can"}))

    def test_text_has_every_number(self, scores):
        text = as_text(scores)
        assert "lift, lift_unet@0123456789ab, ddim 16 steps, lockstep" in text
        row = ["2/3", "66.7%", "20.8%", "to", "93.9%", "1", "16.0", "/", "16", "30.0", "ms", "/", "30.0", "ms", "0"]
        assert row in [line.split()[3:] for line in text.splitlines()]
        assert "psr k=2 σ=0.1 against psr k=1 σ=1" in text
        assert "exact McNemar p = 1" in text

    def test_nothing_to_tell_is_said(self, bag):
        made = bag()
        made.state(1, 0)
        assert "no finished episode" in as_text(score([read_contents(made.close())]))

    def test_json_is_complete_and_strict(self, scores, tmp_path):
        write_json(scores, tmp_path / "new" / "scores.json")
        content = json.loads((tmp_path / "new" / "scores.json").read_text(), parse_constant=pytest.fail)
        assert [group["rate"] for group in content["groups"]] == [None, pytest.approx(2 / 3), 1.0]
        assert content["groups"][2]["steering.k"] == 2.0
        assert [one["seed"] for one in content["episodes"]] == [100, 101, 102, 103, 100, 101, 102, 100]
        assert content["comparisons"][0]["setting"]["steering"] == SHARP.to_dict()

    def test_csv_has_a_line_for_each_setting(self, scores, tmp_path):
        write_csv(scores, tmp_path / "scores.csv")
        with (tmp_path / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["task"], row["steering.k"], row["n"], row["successes"]) for row in rows] == [
            ("can", "1.0", "0", "0"),
            ("lift", "1.0", "3", "2"),
            ("lift", "2.0", "3", "3"),
        ]


class TestSteeringChanges:
    @pytest.fixture
    def live(self, bag):
        """A bag in the middle of an episode, with one chunk under the first setting."""
        made = bag()
        made.turn("steering.k", 1.0, node="/other")
        made.episode = 1
        made.chunk(0)
        return made

    def changes(self, made):
        return steering_changes(read_contents(made.close()))

    def later(self, made):
        """A moment after everything so far at which sampling starts."""
        return made.now + 500_000

    def test_the_next_chunk_carries_the_value(self, live):
        live.turn("steering.k", 2.0)
        live.chunk(8, SHARP, started=self.later(live))
        live.chunk(16, SHARP, started=self.later(live))
        _, change = self.changes(live)
        assert (change.parameter, change.value, change.chunk, change.chunk_step, change.ok) == (
            "steering.k",
            2.0,
            1,
            8,
            True,
        )
        assert change.delay == 0.0005
        assert "carries it" in change.line()

    def test_a_chunk_under_the_old_value_is_a_violation(self, live):
        live.turn("steering.k", 2.0)
        live.chunk(8, Steering(), started=self.later(live))
        change = self.changes(live)[-1]
        assert change.ok is False
        assert "DOES NOT" in change.line()

    def test_a_chunk_whose_sampling_had_begun_proves_nothing(self, live):
        begun = live.now
        live.turn("steering.k", 2.0)
        live.chunk(8, Steering(), started=begun)
        change = self.changes(live)[-1]
        assert (change.ok, change.chunk) == (None, None)
        assert "no chunk was sampled afterwards" in change.line()

    def test_a_value_that_changed_again_is_not_shown(self, live):
        live.turn("steering.k", 5.0)
        live.turn("steering.k", 2.0)
        live.chunk(8, SHARP, started=self.later(live))
        assert [(change.value, change.ok) for change in self.changes(live)[1:]] == [(5.0, None), (2.0, True)]

    def test_every_field_of_the_dial_is_followed(self, live):
        live.turn("steering.sigma", 0.3)
        live.turn("steering.method", "none")
        live.turn("steering.cap", False)
        live.turn("use_sim_time", True)
        live.chunk(8, Steering(sigma=0.3, method="none"), started=self.later(live))
        changes = self.changes(live)[1:]
        assert [(change.parameter, change.ok) for change in changes] == [
            ("steering.sigma", True),
            ("steering.method", True),
            ("steering.cap", True),
        ]

    def test_other_nodes_do_not_prove_anything(self, live):
        live.chunk(8, started=self.later(live))
        (change,) = self.changes(live)
        assert (change.node, change.ok) == ("/other", None)

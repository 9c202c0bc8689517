"""Fidelity and diversity of pictures against closed forms, intervals, and verdicts on figures that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_eval.distillation_2d_report import most_diverse, rivals
from psr_eval.distillation_2d_rows import METHOD_ROWS
from psr_eval.distillation_2d_scores import METRICS, compare
from psr_eval.frechet import Statistics, frechet_distance
from psr_eval.picture_answers import as_faithful
from psr_eval.picture_scores import Comparison, Entry, frechet_distances, mean_distances, root_mean_squares

ROWS = {row.name: row for row in METHOD_ROWS}
PROMPTS, SEEDS = ("a cat", "a dog", "a hat", "a sea"), 4
N = len(PROMPTS) * SEEDS
ALL = np.ones(N, bool)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class TestFrechet:
    @pytest.mark.parametrize(("n", "dim"), [(30, 4), (6, 12), (2, 3)])
    def test_under_even_weights_it_is_that_of_the_statistics(self, n, dim):
        features, real = normal(n, dim), 1.5 * normal(40, dim, seed=1) + 0.3
        expected = frechet_distance(Statistics.of(features), Statistics.of(real))
        found = frechet_distances(features, real, np.full((3, n), 0.7))
        assert found == pytest.approx([expected] * 3, rel=1e-6)

    def test_a_picture_without_weight_does_not_count(self):
        features, real = normal(9, 3), normal(20, 3, seed=1)
        without = frechet_distances(features, real, np.arange(9)[None] < 7)
        assert without == pytest.approx(frechet_distances(features[:7], real, np.ones((1, 7))))

    def test_one_picture_has_none(self):
        assert np.isnan(frechet_distances(normal(3, 2), normal(9, 2), np.eye(3)[:1])).all()


class TestDistances:
    @given(st.integers(2, 6), st.integers(0, 99))
    def test_under_even_weights_the_mean_over_pairs(self, n, seed):
        x = normal(n, 5, seed=seed)
        distances, pairs = root_mean_squares(x, x), ~np.eye(n, dtype=bool)
        found = mean_distances(distances, pairs, np.full((1, n), 0.2))
        brute = [np.sqrt(np.mean((x[i] - x[j]) ** 2)) for i in range(n) for j in range(n) if i != j]
        assert found == pytest.approx(np.mean(brute))

    def test_a_picture_drawn_twice_is_not_at_distance_0_from_itself(self):
        found = mean_distances(1 - np.eye(3), ~np.eye(3, dtype=bool), np.array([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]))
        assert found[0] == 1 and np.isnan(found[1])

    def test_prompts_count_as_often_as_they_are_drawn(self):
        distances, pairs = np.zeros((4, 4)), np.zeros((4, 4), bool)
        for first, apart in ((0, 1.0), (2, 4.0)):
            pairs[first, first + 1] = pairs[first + 1, first] = True
            distances[pairs & (distances == 0)] = apart
        assert mean_distances(distances, pairs, np.array([[2.0, 2.0, 1.0, 1.0]])) == pytest.approx((2 * 1 + 4) / 3)


def entry(name, text=0.0, spread=1.0, finite=ALL, shift=0.0, seed=0):
    """A row whose pictures are points: agreement of the mean `text`, distances that grow with `spread`."""
    x = spread * normal(N, 3) + shift
    means = {"text": text + 0.2 * normal(N) + 0.05 * normal(N, seed=1 + seed)}
    return Entry(ROWS[name], (), finite, x, means, {"diversity": root_mean_squares(x, x)})


def comparison(*entries):
    return Comparison({one.row.name: one for one in entries}, PROMPTS, SEEDS, normal(60, 3, seed=5), tuple(METRICS))


class TestComparison:
    def test_a_mean_and_its_interval(self):
        found = comparison(entry("DSD", 3.0))
        estimate, values = found.estimate("DSD", "text"), found.entries["DSD"].means["text"]
        assert estimate.mean == pytest.approx(values.mean())
        assert estimate.high - estimate.mean == pytest.approx(1.96 * values.std() / N**0.5, rel=0.15)

    def test_over_whole_prompts_where_seeds_share_a_critic(self):
        of_prompt = np.repeat(normal(len(PROMPTS)), SEEDS)
        alike = Entry(ROWS["VSD"], (), ALL, None, {"text": of_prompt}, {})
        estimate = comparison(alike).estimate("VSD", "text")
        expected = 1.96 * of_prompt.std() / len(PROMPTS) ** 0.5
        assert estimate.high - estimate.mean == pytest.approx(expected, rel=0.15)

    def test_differences_are_paired(self):
        found = comparison(entry("DSD", 1.0), entry("SDS", 0.8, seed=3))
        alone = [found.estimate(name, "text") for name in ("DSD", "SDS")]
        difference = found.difference("DSD", "SDS", "text")
        assert difference.mean == pytest.approx(alone[0].mean - alone[1].mean)
        assert difference.high - difference.low < 0.7 * (alone[0].high - alone[0].low)

    def test_a_row_does_not_differ_from_itself(self):
        found = comparison(entry("DSD"), entry("SDS"))
        for metric in found.metrics():
            difference = found.difference("DSD", "SDS", metric)
            assert difference.mean == difference.low == difference.high == 0

    def test_what_diverged_counts_nowhere_and_not_in_its_partner(self):
        finite = ALL.copy()
        finite[[1, 6]] = False
        whole, lost = entry("SDS", 1.0), entry("DSD", 2.0, finite=finite)
        broken = Entry(lost.row, (), finite, np.where(finite[:, None], lost.features, 1e3), *_spoilt(lost, finite))
        for one in (lost, broken):
            found = comparison(whole, one)
            assert found.estimate("DSD", "text").mean == pytest.approx(lost.means["text"][finite].mean())
            expected = (lost.means["text"] - whole.means["text"])[finite].mean()
            assert found.difference("DSD", "SDS", "text").mean == pytest.approx(expected)
            assert found.estimate("DSD", "diversity").mean < 5 and found.estimate("DSD", "frechet").mean < 50

    def test_nothing_is_said_of_what_was_not_measured_or_of_what_all_diverged(self):
        found = comparison(entry("DSD"), entry("SDS", finite=np.zeros(N, bool)))
        assert found.estimate("SDI", "text") is None and found.difference("DSD", "SDI", "text") is None
        assert found.estimate("DSD", "to_ddim") is None and "to_ddim" not in found.metrics()
        assert all(found.estimate("SDS", metric) is None for metric in found.metrics())


def _spoilt(entry, finite):
    pairs = finite[:, None] & finite
    distances = {"diversity": np.where(pairs, entry.distances["diversity"], 1e3)}
    return {"text": np.where(finite, entry.means["text"], 1e3)}, distances


class TestMostDiverse:
    def test_rows_that_are_less_faithful_are_no_rivals(self):
        less = {"VSD": entry("VSD", 1.0, 3.0), "SDI": entry("SDI", 5.0, 3.0, shift=9.0)}
        found = comparison(entry("DSD", 5.0), entry("SDS", 5.0), *less.values())
        assert rivals(found, "DSD") == ["SDS"] and not any(as_faithful(found, name, "DSD") for name in less)

    @pytest.mark.parametrize(("spread", "word"), [(0.8, "yes"), (1.4, "no"), (1.0, "open")])
    def test_the_lead_over_the_most_diverse_rival_decides(self, spread, word):
        found = comparison(entry("DSD", 5.0), entry("SDS", 6.0, spread), entry("ASD", 6.0, 0.7))
        answer = most_diverse(comparison_without_aim(found), "DSD", "diversity")
        assert (answer.verdict, answer.rival) == (word, "SDS")

    def test_samplers_and_its_own_variants_are_no_rivals(self):
        found = comparison_without_aim(comparison(entry("DSD"), entry("DDIM", 9, 3), entry("DSD, grid 50", 9, 3)))
        assert rivals(found, "DSD") == [] and most_diverse(found, "DSD", "diversity").verdict == "yes"


def comparison_without_aim(found):
    return Comparison(found.entries, found.prompts, found.seeds, None, found.known)


class Colours:
    """A space whose features are the mean colour."""

    def image_features(self, images):
        colours = np.stack([image.reshape(-1, 3).mean(0) for image in images]) + 1.0
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)

    def scores(self, images, prompts):
        return np.array([image.mean() + len(prompt) for image, prompt in zip(images, prompts, strict=True)])


def result(name, prompt, seed):
    rng = np.random.default_rng(seed)
    job = SimpleNamespace(row=ROWS[name], prompt=prompt, seeds=3)
    figures = {"finite": [True] * 3, "iterations": 4, "calls": 8, "model": 16, "seconds": 2.0}
    return SimpleNamespace(job=job, pictures=rng.integers(0, 256, (3, 5, 5, 3), np.uint8), figures=figures)


class TestCompare:
    RESULTS = [
        result(name, prompt, 7 * i + j) for i, name in enumerate(("DDIM", "SDS")) for j, prompt in enumerate(PROMPTS)
    ]

    def test_pictures_are_measured_in_the_space_and_in_pixels(self):
        real = [one for item in self.RESULTS[:4] for one in item.pictures]
        found = compare(self.RESULTS, Colours(), real)
        assert found.prompts == PROMPTS and found.seeds == 3 and list(found.entries) == ["DDIM", "SDS"]
        assert set(found.metrics()) == {"text", "frechet", "diversity", "pixel_diversity", "to_ddim", "pixels_to_ddim"}
        assert found.estimate("DDIM", "frechet").mean == pytest.approx(0, abs=1e-9)
        first, ddim = (np.concatenate([one.pictures for one in part]) for part in (self.RESULTS[4:], self.RESULTS[:4]))
        apart = np.sqrt(np.mean(((first.astype(float) - ddim) / 255) ** 2, axis=(1, 2, 3)))
        assert found.estimate("SDS", "pixels_to_ddim").mean == pytest.approx(apart.mean())
        assert found.estimate("SDS", "text").mean == pytest.approx(first.mean() + np.mean([len(p) for p in PROMPTS]))
        assert found.entries["SDS"].each("calls") == 2 and found.entries["SDS"].each("seconds") == 0.5

    def test_without_a_space_pixels_alone_are(self):
        found = compare(self.RESULTS, None, None)
        assert found.metrics() == ["pixel_diversity", "pixels_to_ddim"]
        assert found.difference("SDS", "DDIM", "text") is None

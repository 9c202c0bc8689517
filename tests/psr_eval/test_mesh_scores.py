"""Figures of objects from views that are made up, and what the report says of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from psr_eval.clip_iqa import iqa_scores
from psr_eval.mesh_report import as_markdown
from psr_eval.mesh_rows import METHOD_ROWS, VIEW_ROWS
from psr_eval.mesh_scores import VIEWS, compare, view_texts
from psr_eval.picture_jobs import Result

ROWS = {row.name: row for row in (*METHOD_ROWS, *VIEW_ROWS)}
PROMPTS, SEEDS, SIZE = ("a cat", "a dog", "a hat"), 2, 4
FIGURES = {"iterations": 5, "calls": 40, "model": 80, "seconds": 2.0, "peak_mb": 300, "views": 4, "problem": ""}


class Space:
    """Colour as features; texts of words with "view" are refused where they are not known."""

    def __init__(self, views: bool = True, photos: bool = False) -> None:
        self.known = views, photos

    def image_features(self, images):
        found = np.stack([one.reshape(-1, 3).mean(0) + 1 for one in images])
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def text_features(self, texts):
        if ("view" in texts[0] and not self.known[0]) or ("photo" in texts[0] and not self.known[1]):
            raise ValueError("does not know")
        return np.eye(3)[[len(text) % 3 for text in texts]]


def result(name, prompt, seed, colours, finite=True):
    """An object whose views all have one colour."""
    pictures = np.broadcast_to(np.asarray(colours, np.uint8), (len(VIEWS), SIZE, SIZE, 3))
    job = SimpleNamespace(row=ROWS[name], prompt=prompt, seed=seed)
    return Result(job, np.ascontiguousarray(pictures), {**FIGURES, "finite": [finite]})


def results(name, spread, finite=True):
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 9, (len(PROMPTS), 3)) + 100
    return [
        result(name, prompt, seed, shades[p] + spread * seed * np.array([1, 0, -1]), finite)
        for p, prompt in enumerate(PROMPTS)
        for seed in range(SEEDS)
    ]


def real():
    return [np.full((SIZE, SIZE, 3), shade, np.uint8) for shade in (90, 100, 110)]


def test_diversity_is_between_seeds_at_the_same_camera():
    found = compare([*results("SDS", 0), *results("DSD", 40)], Space(), real(), {})
    assert found.estimate("SDS", "diversity").mean == pytest.approx(0, abs=1e-12)
    one, other = (Space().image_features([results("DSD", 40)[seed].pictures[0]])[0] for seed in (0, 1))
    assert found.estimate("DSD", "diversity").mean == pytest.approx(1 - one @ other, rel=0.2)
    assert found.difference("DSD", "SDS", "diversity").low > 0
    pixels = np.sqrt(2 * (40 / 255) ** 2 / 3)
    assert found.estimate("DSD", "pixel_diversity").mean == pytest.approx(pixels)


def test_an_object_that_diverged_counts_in_no_figure():
    mixed = [*results("DSD", 40)[:-1], result("DSD", "a hat", 1, [0, 0, 255], finite=False)]
    found = compare(mixed, Space(), real(), {})
    assert found.estimate("DSD", "text").mean == pytest.approx(
        np.mean(found.entries["DSD"].means["text"][:-1]), rel=1e-9
    )
    assert found.entries["DSD"].finite.mean() == pytest.approx(5 / 6)


def test_the_views_word_is_said_to_those_who_know_it():
    assert not np.array_equal(view_texts(Space(), "a cat"), view_texts(Space(views=False), "a cat"))
    assert (view_texts(Space(views=False), "a cat") == view_texts(Space(views=False), "a cat")[0]).all()


class TestFronts:
    @staticmethod
    def rule(told, front):
        return SimpleNamespace(
            told=told, scores=lambda views: np.full(len(views), front), kind="cat", right=9, tested=9
        )

    def test_kinds_that_cannot_be_told_are_not_judged(self):
        rules = {"a cat": self.rule(True, 1.0), "a dog": self.rule(False, 1.0)}
        found = compare(results("DSD", 40), None, None, rules)
        assert np.isnan(found.entries["DSD"].means["repeated_front"][2:]).all()
        assert found.estimate("DSD", "repeated_front").mean == pytest.approx(100)

    def test_nothing_is_judged_without_a_rule_that_tells(self):
        assert (
            "repeated_front" not in compare(results("DSD", 40), None, None, {"a cat": self.rule(False, 1.0)}).metrics()
        )


class TestIQA:
    def test_between_the_two_texts(self):
        space = SimpleNamespace(text_features=lambda texts: np.eye(2))
        scores = iqa_scores(space, np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]]))
        assert scores["quality"] == pytest.approx([100, 0, 50])

    def test_words_that_are_not_known_have_no_score(self):
        assert iqa_scores(Space(), np.eye(3)) == {} and set(iqa_scores(Space(photos=True), np.eye(3))) == {
            "quality",
            "sharpness",
            "realness",
        }


def test_the_report_answers_what_was_asked():
    names = ["SDS", "DSD", "DSD, nothing kept", "DSD, random noise", *(row.name for row in VIEW_ROWS)]
    spreads = [0, 40, 30, 5, 1, 2, 3]
    every = [one for name, spread in zip(names, spreads, strict=True) for one in results(name, spread)]
    rules = {"a cat": TestFronts.rule(True, 1.0)}
    found = compare(every, Space(), real(), rules)
    told = dict(preset="quick", calls=40, prior="P", size="4 x 4 pixels", space="C", aim="real ones")
    text = as_markdown(found, rules, told, ["A note."])
    for expected in (
        "most diverse at equal",
        "table 2.3",
        "What does DSD cost",
        "Perp-Neg",
        "A note.",
        "| a cat | 9 |",
    ):
        assert expected in text
    assert "An iteration of DSD costs 1.00 times the calls" in text
    assert "Not judged, without real pictures of them: a dog; a hat." in text

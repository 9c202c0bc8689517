"""Reading fronts and backs: kinds that can be told and kinds that cannot, and what a repeated front is."""

from __future__ import annotations

import numpy as np
import pytest

from psr_core.object_folder import write_object_image, write_object_index
from psr_eval.fronts import SIDE, fitted_rule, front_rules, greys
from psr_eval.mesh_scores import repeated_front

RNG = np.random.default_rng(0)


def picture(front: bool, size: int = 24) -> np.ndarray:
    """A handle on the right of a front, on the left of a back; brightness and noise say nothing."""
    pixels = np.full((size, size, 3), RNG.uniform(120, 220)) + RNG.normal(0, 12, (size, size, 3))
    handle = slice(size - size // 4, None) if front else slice(0, size // 4)
    pixels[size // 3 : -size // 3, handle] -= 60
    return pixels.clip(0, 255).astype(np.uint8)


def pictures(fronts):
    return [picture(front) for front in fronts]


def sides(n):
    return np.arange(n) % 2 == 0


class TestRule:
    def test_a_handle_tells_front_from_back(self):
        rule = fitted_rule("mug", (greys(pictures(sides(40))), sides(40)), (greys(pictures(sides(20))), sides(20)))
        assert rule.right == rule.tested == 20 and rule.told
        assert (rule.scores(pictures([True, False])) > 0).tolist() == [True, False]

    def test_what_looks_the_same_from_both_sides_is_not_told(self):
        alike = greys(pictures(np.ones(60, bool)))
        rule = fitted_rule("bowl", (alike[:40], sides(40)), (alike[40:], sides(20)))
        assert not rule.told

    def test_brightness_and_contrast_do_not_count(self):
        one = picture(True)
        assert greys([one]) == pytest.approx(greys([(one // 2 + 40).astype(np.uint8)]), abs=0.1)
        assert greys([np.full((9, 9, 3), 7, np.uint8)]).shape == (1, SIDE**2)


class TestRepeatedFront:
    @pytest.fixture
    def rule(self):
        return fitted_rule("mug", (greys(pictures(sides(40))), sides(40)), (greys(pictures(sides(20))), sides(20)))

    @pytest.mark.parametrize(
        ("front", "back", "expected"),
        [(True, True, (1, 0)), (True, False, (0, 1)), (False, True, (0, 0)), (False, False, (0, 0))],
    )
    def test_is_a_front_on_both_sides(self, rule, front, back, expected):
        views = pictures([front, front, True, back, back, True, front, front])  # 22.5, 67.5, ... degrees
        assert repeated_front(rule, np.stack(views)) == expected


def test_rules_are_learned_from_a_folder_for_the_kinds_of_prompts(tmp_path):
    entries = []
    for number in range(60):
        words = {"kind": "mug" if number < 50 else "bowl", "colour": "red", "material": "metal"}
        front = number % 2 == 0
        entries.append(write_object_image(tmp_path, number, picture(front), words, 0.0 if front else 180.0, 10.0))
    write_object_index(tmp_path, entries, {"train": range(30), "test": range(30, 60)}, 24)
    rules = front_rules(tmp_path, ["a red mug", "a bowl", "a cat"])
    assert set(rules) == {"a red mug"} and rules["a red mug"].tested == 20 and rules["a red mug"].told

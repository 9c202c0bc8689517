"""Real pictures that prompts are true of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from psr_eval.real_pictures import real_pictures
from tests.object_pictures import write_objects


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    return write_objects(tmp_path_factory.mktemp("objects"), 40, 8)


def entries(folder, paths):
    named = {folder / entry["image"]: entry for entry in json.loads((folder / "index.json").read_text())["images"]}
    return [named[path] for path in paths]


def test_of_objects_those_that_a_prompt_is_true_of_as_many_for_each(objects):
    found = entries(objects, real_pictures(objects, ["a red mug", "a table"]))
    first, second = found[: len(found) // 2], found[len(found) // 2 :]
    assert len(first) == len(second) >= 8
    assert all(one["kind"] == "mug" and one["colour"] == "red" for one in first)
    assert {one["kind"] for one in second} == {"table"} and {one["colour"] for one in second} != {"red"}


def test_views_count_and_no_more_than_asked_for_each_once(objects):
    paths = real_pictures(objects, ["a mug, front view"], most=3)
    assert len(set(paths)) == 3 and all(one["view"] == "front" for one in entries(objects, paths))


def test_of_other_folders_all(tmp_path):
    for name in ("b.png", "a.jpg", "c.txt"):
        if name != "c.txt":
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name)
    assert [path.name for path in real_pictures(tmp_path, ["anything"])] == ["a.jpg", "b.png"]


def test_folders_without_such_pictures_are_refused(objects, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        real_pictures(tmp_path / "nowhere", ["a mug"])
    with pytest.raises(ValueError, match="has 0 pictures, expected 2 or more"):
        real_pictures(tmp_path, ["a mug"])
    with pytest.raises(ValueError, match="has 0 pictures of 'a spaceship', expected 2 or more"):
        real_pictures(objects, ["a mug", "a spaceship"])

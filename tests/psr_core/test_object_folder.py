"""The folder of pictures of objects: what views are called, what comes back, and what a wrong index is told."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_core.object_folder import read_object_image, read_object_index, view_word, write_object_image
from tests.object_pictures import write_objects


@pytest.fixture
def folder(tmp_path):
    return write_objects(tmp_path, 3, 2)


class TestViews:
    @pytest.mark.parametrize(
        ("azimuth", "elevation", "word"),
        [
            *((0, 0, "front"), (44, 10, "front"), (-44, 60, "front"), (46, 0, "side"), (-90, 0, "side")),
            *((134, 0, "side"), (136, 0, "back"), (180, 5, "back"), (-179, 0, "back"), (0, 61, "overhead")),
        ],
    )
    def test_are_called_by_the_thresholds(self, azimuth, elevation, word):
        assert view_word(azimuth, elevation) == word

    @given(st.floats(-180, 180), st.floats(-90, 90), st.integers(-3, 3))
    def test_left_and_right_and_whole_turns_do_not_matter(self, azimuth, elevation, turns):
        if abs(abs(azimuth) - 90) > 40 and abs(abs(azimuth) - 90) < 50:
            azimuth = 0.0  # a whole turn rounds what is at a threshold
        assert view_word(azimuth, elevation) == view_word(-azimuth, elevation)
        assert view_word(azimuth, elevation) == view_word(azimuth + 360 * turns, elevation)


class TestPictures:
    def test_come_back_in_their_colours(self, tmp_path):
        rgb = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        entry = write_object_image(tmp_path, 7, rgb, {"kind": "mug", "colour": "red", "material": "metal"}, -180.0, 3.0)
        assert entry["view"] == "back" and entry["image"] == "images/000007.png"
        np.testing.assert_array_equal(read_object_image(tmp_path, entry, 8), rgb)
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / entry["image"]))[..., ::-1], rgb)

    @pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3), (8, 8, 4)])
    def test_of_other_shapes_are_refused(self, tmp_path, shape):
        with pytest.raises(ValueError, match=r"image 2 is .* expected \(S, S, 3\) uint8"):
            write_object_image(tmp_path, 2, np.zeros(shape, np.uint8), {}, 0, 0)

    def test_of_another_size_or_none_are_named(self, folder):
        entry = read_object_index(folder)["images"][1]
        with pytest.raises(ValueError, match="000001.png is 16 x 16 pixels, expected 32 x 32"):
            read_object_image(folder, entry, 32)
        (folder / entry["image"]).write_bytes(b"nothing")
        with pytest.raises(ValueError, match="000001.png is no picture"):
            read_object_image(folder, entry, 16)


class TestIndex:
    def test_says_what_is_in_it(self, folder):
        index = read_object_index(folder)
        assert (index["size"], index["train"], index["test"]) == (16, [0, 1, 2], [3, 4])
        assert index["images"][0] | {"image": "", "azimuth": 0.0} == {
            **{"image": "", "kind": "mug", "colour": "red", "material": "metal"},
            **{"view": "overhead", "azimuth": 0.0, "elevation": 70.0},
        }

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("format", "psr rgbd", "not an index of pictures of objects; expected an object with format"),
            ("size", None, "size is None, expected pixels"),
            ("images", [{"image": "a.png"}], "images is not a list of objects"),
            ("test", [0], r"images \[0\] are in train and in test"),
        ],
    )
    def test_wrong_fields_are_named(self, folder, field, value, message):
        self.change(folder, **{field: value})
        with pytest.raises(ValueError, match=f"index.json.*{message}"):
            read_object_index(folder)

    @pytest.mark.parametrize(("key", "value"), [("view", "below"), ("azimuth", None), ("kind", 3)])
    def test_an_entry_without_its_words_is_refused(self, folder, key, value):
        images = read_object_index(folder)["images"]
        images[1][key] = value
        self.change(folder, images=images)
        with pytest.raises(ValueError, match="images is not a list of objects"):
            read_object_index(folder)

    @staticmethod
    def change(folder, **fields):
        path = folder / "index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

"""Pictures on disk: which of a folder are compared with, and how they are brought to one size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from psr_core.object_folder import write_object_image, write_object_index
from psr_eval.image_files import fitted, reference_pictures

MUG = {"kind": "mug", "colour": "red", "material": "metal"}


def test_of_a_folder_of_objects_the_test_split_is_compared_with(tmp_path):
    shades = [np.full((8, 8, 3), 50 * number, np.uint8) for number in range(4)]
    entries = [write_object_image(tmp_path, n, shade, MUG, 0, 0) for n, shade in enumerate(shades)]
    write_object_index(tmp_path, entries, {"train": [0, 2], "test": [3, 1]}, size=8, rendered={})
    assert [int(each.mean()) for each in fitted(reference_pictures(tmp_path), (8, 8))] == [150, 50]


def test_of_any_other_folder_all_pictures_in_order_of_name(tmp_path):
    for name in ("b.png", "sub/a.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no picture") if path.suffix == ".txt" else Image.new("RGB", (4, 4)).save(path)
    assert reference_pictures(tmp_path) == [tmp_path / "b.png", tmp_path / "sub/a.jpg"]


def test_a_wide_picture_is_cut_at_both_sides(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (found,) = fitted([tmp_path / "wide.png"], (5, 5))
    assert found.shape == (5, 5, 3) and found.min() > 200

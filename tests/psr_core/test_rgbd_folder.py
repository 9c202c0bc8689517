"""The folder of RGB-D images as it is written, and what a wrong index is told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from psr_core.rgbd_folder import read_rgbd_index, write_rgbd_index, write_rgbd_sample
from tests.rgbd_images import SIZE, change, image, write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path)


class TestWriter:
    def test_refuses_what_16_bits_do_not_reach(self, tmp_path):
        with pytest.raises(ValueError, match=r"image 7: depth reaches 65.6 m, expected up to 65.535 m"):
            write_rgbd_sample(tmp_path, 7, image(0)[0], np.full(SIZE, 65.6))

    def test_refuses_other_shapes_and_dtypes(self, tmp_path):
        rgb, depth = image(0)
        for arguments in ((rgb / 255.0, depth), (rgb[..., 0], depth), (rgb, depth[1:]), (rgb, depth[..., None])):
            with pytest.raises(ValueError, match=r"image 0: rgb is .* expected \(H, W, 3\) uint8 and \(H, W\)"):
                write_rgbd_sample(tmp_path, 0, *arguments)

    def test_refuses_an_index_that_would_not_be_read(self, tmp_path):
        entry = write_rgbd_sample(tmp_path, 0, *image(0))
        with pytest.raises(ValueError, match=r"images \[0\] are in train and in test"):
            write_rgbd_index(tmp_path, [entry], {"train": [0], "test": [0]}, 0.1, 20.0)
        assert not (tmp_path / "index.json").exists()

    def test_files_are_plain_pngs(self, folder):
        rgb, depth = image(2)
        np.testing.assert_array_equal(cv2.imread(str(folder / "rgb/000002.png"))[..., ::-1], rgb)
        millimetres = cv2.imread(str(folder / "depth/000002.png"), cv2.IMREAD_UNCHANGED)
        assert millimetres.dtype == np.uint16
        np.testing.assert_allclose(millimetres, depth * 1000, atol=0.51)

    def test_entries_and_index_take_further_keys(self, tmp_path):
        entry = write_rgbd_sample(tmp_path, 5, *image(0), K=[10.0, 10.0, 7.5, 5.5], scene="room 1")
        assert entry == {
            "rgb": "rgb/000005.png",
            "depth": "depth/000005.png",
            "K": [10, 10, 7.5, 5.5],
            "scene": "room 1",
        }
        write_rgbd_index(tmp_path, [entry], {"train": [0]}, 0.1, 20.0, made_by="me", format="mine")
        index = read_rgbd_index(tmp_path)
        assert index["images"] == [entry]
        assert (index["made_by"], index["format"], index["test"]) == ("me", "psr rgbd", [])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["depth", "index.json", "rgb"]


class TestRefusals:
    def test_unfinished_folder(self, folder):
        (folder / "index.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"index.json is missing: .* its writer has not finished"):
            read_rgbd_index(folder)

    @pytest.mark.parametrize("text", ["{", "\xff"])
    def test_damaged_index(self, folder, text):
        (folder / "index.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"index.json is not readable JSON"):
            read_rgbd_index(folder)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("format", "psr policy", "expected an object with format = 'psr rgbd'"),
            ("format_version", 2, "format_version is 2, this version reads 1"),
            ("min_depth", 30.0, r"min_depth and max_depth are \[30.0, 20.0\], expected metres"),
            ("min_depth", None, "expected metres"),
            ("min_depth", True, "expected metres"),
            ("max_depth", float("nan"), "expected metres"),
            ("max_depth", float("inf"), "expected metres"),
            ("images", {}, "images is not a list"),
            ("images", [{"rgb": "a.png"}], "images is not a list"),
            ("train", [4], "train is not a list of numbers of images, expected 0 to 3"),
            ("test", [-1], "test is not a list of numbers"),
            ("test", None, "test is not a list of numbers"),
            ("test", [1, 2], r"images \[2\] are in train and in test"),
        ],
    )
    def test_wrong_field(self, folder, field, value, message):
        change(folder, **{field: value})
        with pytest.raises(ValueError, match=f"index.json.*{message}"):
            read_rgbd_index(folder)

    def test_an_index_that_is_a_list(self, folder):
        (folder / "index.json").write_text("[]")
        with pytest.raises(ValueError, match="is not an index of RGB-D images"):
            read_rgbd_index(folder)

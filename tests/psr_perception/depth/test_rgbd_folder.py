"""Our folder of RGB-D images: what is written comes back, and what a wrong folder is told."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from psr_core.rgbd_folder import write_rgbd_index, write_rgbd_sample
from psr_perception.depth.rgbd_folder import open_rgbd_folder
from tests.rgbd_images import SIZE, change, image, write_images


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path)


class TestRoundTrip:
    def test_images_come_back(self, folder):
        dataset = open_rgbd_folder(folder, "train")
        assert dataset.names == ("rgb/000000.png", "rgb/000002.png", "rgb/000003.png")
        for number, sample in zip((0, 2, 3), dataset, strict=True):
            rgb, depth = image(number)
            np.testing.assert_array_equal(sample.rgb, rgb)
            np.testing.assert_allclose(sample.depth, depth, atol=0.000501)
            assert sample.depth.dtype == np.float32 and sample.valid.all()
        assert open_rgbd_folder(folder, "test").names == ("rgb/000001.png",)

    def test_depth_is_kept_to_half_a_millimetre(self, tmp_path):
        depth = np.geomspace(0.001, 65.535, 12 * 16).reshape(SIZE)
        entry = write_rgbd_sample(tmp_path, 0, image(0)[0], depth)
        write_rgbd_index(tmp_path, [entry], {"test": [0]}, 0.0, 70.0)
        sample = open_rgbd_folder(tmp_path, "test")[0]
        assert sample.valid.all()
        np.testing.assert_allclose(sample.depth, depth, atol=0.000505)

    @pytest.mark.parametrize("missing", [0.0, -1.0, np.nan, np.inf, -np.inf])
    def test_what_is_no_depth_is_invalid(self, tmp_path, missing):
        rgb, depth = image(0)
        depth[3, 4] = missing
        entry = write_rgbd_sample(tmp_path, 0, rgb, depth)
        write_rgbd_index(tmp_path, [entry], {"train": [0]}, 0.1, 20.0)
        sample = open_rgbd_folder(tmp_path, "train")[0]
        assert sample.depth[3, 4] == 0 and np.argwhere(~sample.valid).tolist() == [[3, 4]]

    def test_valid_is_what_lies_in_the_range(self, folder):
        change(folder, min_depth=2.0, max_depth=9)
        sample = open_rgbd_folder(folder, "test")[0]
        np.testing.assert_array_equal(sample.valid, (sample.depth > 2) & (sample.depth < 9))
        assert 0 < sample.valid.mean() < 1

    def test_any_writer_of_the_form_will_do(self, tmp_path):
        rgb, depth = image(0)
        assert cv2.imwrite(str(tmp_path / "a.jpg"), np.full_like(rgb, 90))
        assert cv2.imwrite(str(tmp_path / "b.png"), (depth * 1000).astype(np.uint16))
        index = {"format": "psr rgbd", "format_version": 1, "min_depth": 0.1, "max_depth": 20, "made_with": "by hand"}
        index |= {"images": [{"rgb": "a.jpg", "depth": "b.png", "camera": 3}], "train": [], "test": [0]}
        (tmp_path / "index.json").write_text(json.dumps(index))
        assert open_rgbd_folder(tmp_path, "test")[0].rgb.mean() == pytest.approx(90, abs=2)
        assert len(open_rgbd_folder(tmp_path, "train")) == 0


class TestRefusals:
    def test_unknown_split(self, folder):
        with pytest.raises(ValueError, match="split is 'val', expected one of: train, test"):
            open_rgbd_folder(folder, "val")

    def test_unfinished_folder(self, folder):
        (folder / "index.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"index.json is missing: .* its writer has not finished"):
            open_rgbd_folder(folder, "train")

    def test_a_wrong_index(self, folder):
        change(folder, min_depth=30.0)
        with pytest.raises(ValueError, match=r"index.json: min_depth and max_depth are \[30.0, 20.0\]"):
            open_rgbd_folder(folder, "train")

    def test_missing_image(self, folder):
        (folder / "depth/000002.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"000002.png"):
            open_rgbd_folder(folder, "train")[1]

    def test_depth_of_another_size(self, folder):
        assert cv2.imwrite(str(folder / "depth/000002.png"), np.ones((5, 5), np.uint16))
        with pytest.raises(ValueError, match=r"depth/000002.png is \(5, 5\) pixels, expected \(12, 16\)"):
            open_rgbd_folder(folder, "train")[1]

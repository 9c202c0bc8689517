"""The benchmarks' readers, each on a made-up folder of its form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from psr_perception.depth.datasets import BENCHMARKS, open_benchmark
from psr_perception.depth.metrics import evaluate_depth

SIZES = {"nyuv2": (480, 640), "kitti": (375, 1242), "eth3d": (20, 30), "scannet": (24, 32), "diode": (24, 32)}


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])  # noise: nothing to compress


def rgb_of(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def depth_of(size, seed=0):
    """Metres from 1 to 9, to 1/256 of a metre."""
    return np.random.default_rng(seed).integers(256, 9 * 256, size).astype(np.float32) / 256


class Folder:
    """A data set of two images in the form of `name`."""

    def __init__(self, path, name):
        self.path, self.name, self.list_file = path / "data", name, path / "list.txt"
        lines = []
        for i in range(2):
            depth = depth_of(SIZES[name], i)
            rgb_name, depth_name = f"scene/rgb_{i}.png", f"gt/depth_{i}.png"
            png(self.path / rgb_name, rgb_of(SIZES[name], i)[..., ::-1])
            (self.path / "gt").mkdir(exist_ok=True)
            if name in ("nyuv2", "scannet"):
                png(self.path / depth_name, np.rint(depth * 1000).astype(np.uint16))
            elif name == "kitti":
                png(self.path / depth_name, (depth * 256).astype(np.uint16))
            elif name == "eth3d":
                depth[0, 0] = np.inf
                depth.tofile(self.path / depth_name)
            else:
                depth_name = f"gt/depth_{i}.npy"
                np.save(self.path / depth_name, depth[..., None])
                np.save(self.path / f"gt/mask_{i}.npy", (depth < 8).astype(np.float32))
            extra = {"nyuv2": f"filled_{i}.png", "kitti": "721.5", "diode": f"gt/mask_{i}.npy"}.get(name, "")
            lines.append(f"{rgb_name} {depth_name} {extra}".rstrip())
        self.list_file.write_text("\n".join(lines) + "\n")

    def open(self):
        return open_benchmark(self.name, self.path, self.list_file)


@pytest.fixture
def make(tmp_path):
    return lambda name: Folder(tmp_path, name)


class TestEveryBenchmark:
    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_samples_have_the_promised_form(self, make, name):
        dataset = make(name).open()
        assert len(dataset) == len(list(dataset)) == 2
        for sample in dataset:
            height, width = sample.depth.shape
            assert sample.rgb.shape == (height, width, 3) and sample.valid.shape == (height, width)
            assert (sample.rgb.dtype, sample.depth.dtype, sample.valid.dtype) == (np.uint8, np.float32, bool)
            assert sample.valid.any() and np.isfinite(sample.depth[sample.valid]).all()
        assert [sample.name for sample in dataset] == list(dataset.names) == ["scene/rgb_0.png", "scene/rgb_1.png"]

    @pytest.mark.parametrize("name", BENCHMARKS)
    def test_depth_is_in_metres_and_the_true_one_is_perfect(self, make, name):
        dataset = make(name).open()
        sample = dataset[1]
        whole = depth_of(SIZES[name], 1)
        assert np.isin(np.rint(sample.depth[sample.valid] * 256), np.rint(whole * 256)).all()
        metrics = evaluate_depth(sample.depth, sample.depth, sample.valid, dataset.min_depth, dataset.max_depth)
        assert metrics.abs_rel == pytest.approx(0, abs=1e-6) and metrics.delta1 == 1

    def test_files_are_read_when_they_are_asked_for(self, make):
        folder = make("scannet")
        dataset = folder.open()
        (folder.path / "scene/rgb_1.png").write_bytes(b"damaged")
        assert dataset[0].rgb.shape == (24, 32, 3)
        with pytest.raises(ValueError, match=r"rgb_1.png is no readable PNG or JPEG \(7 bytes\)"):
            dataset[1]

    def test_places_are_those_of_a_sequence(self, make):
        dataset = make("scannet").open()
        assert dataset[-1].name == "scene/rgb_1.png"
        with pytest.raises(IndexError):
            dataset[2]


class TestForms:
    def test_colours_are_rgb(self, make):
        np.testing.assert_array_equal(make("scannet").open()[0].rgb, rgb_of(SIZES["scannet"]))

    def test_jpeg(self, make):
        folder = make("eth3d")
        plain = np.full((20, 30, 3), (200, 100, 50), np.uint8)
        assert cv2.imwrite(str(folder.path / "scene/rgb_0.jpg"), plain[..., ::-1])
        folder.list_file.write_text("scene/rgb_0.jpg gt/depth_0.png\n")
        np.testing.assert_allclose(folder.open()[0].rgb, plain, atol=3)

    def test_nyu_compares_within_the_crop_of_eigen(self, make):
        valid = make("nyuv2").open()[0].valid
        assert valid[45:471, 41:601].all() and valid.sum() == 426 * 560

    def test_kitti_is_cut_to_the_benchmarks_size_at_the_bottom_and_in_the_middle(self, make):
        sample = make("kitti").open()[0]
        np.testing.assert_array_equal(sample.rgb, rgb_of(SIZES["kitti"])[23:, 13 : 13 + 1216])
        np.testing.assert_array_equal(sample.depth, depth_of(SIZES["kitti"])[23:, 13 : 13 + 1216])

    def test_kitti_compares_within_the_region_of_eigen(self, make):
        valid = make("kitti").open()[0].valid
        assert valid[117:321, 43:1172].all() and valid.sum() == (321 - 117) * (1172 - 43)

    def test_kitti_leaves_out_images_without_ground_truth(self, make):
        folder = make("kitti")
        lines = folder.list_file.read_text()
        folder.list_file.write_text("scene/absent.png None 721.5\n\n" + lines)
        assert folder.open().names == ("scene/rgb_0.png", "scene/rgb_1.png")

    def test_eth3d_has_no_depth_where_nothing_was_measured(self, make):
        sample = make("eth3d").open()[0]
        assert sample.depth[0, 0] == 0 and not sample.valid[0, 0] and sample.valid.sum() == 599
        np.testing.assert_array_equal(sample.depth[1:], depth_of(SIZES["eth3d"])[1:])

    def test_diode_compares_where_its_mask_says(self, make):
        sample = make("diode").open()[0]
        np.testing.assert_array_equal(sample.valid, depth_of(SIZES["diode"]) < 8)

    @pytest.mark.parametrize(("name", "metres"), [("scannet", 0.0), ("scannet", 10.0), ("kitti", 80.0)])
    def test_depth_outside_the_range_is_invalid(self, make, name, metres):
        folder = make(name)
        units = 256 if name == "kitti" else 1000
        png(folder.path / "gt/depth_0.png", np.full(SIZES[name], metres * units, np.uint16))
        assert not folder.open()[0].valid.any()


class TestRefusals:
    def test_unknown_data_set(self, tmp_path):
        with pytest.raises(ValueError, match="data set is 'sintel', expected one of: nyuv2, kitti"):
            open_benchmark("sintel", tmp_path, tmp_path / "list.txt")

    def test_an_archive_in_place_of_a_folder(self, make, tmp_path):
        (tmp_path / "nyu.tar").write_bytes(b"")
        with pytest.raises(FileNotFoundError, match="nyu.tar is not a folder; extract the archive"):
            open_benchmark("nyuv2", tmp_path / "nyu.tar", tmp_path / "list.txt")

    def test_missing_list(self, make):
        folder = make("scannet")
        folder.list_file.unlink()
        with pytest.raises(FileNotFoundError, match="scannet: list .*list.txt is missing"):
            folder.open()

    @pytest.mark.parametrize("lines", ["", "a.png None 721.5\n"])
    def test_empty_list(self, make, lines):
        folder = make("scannet")
        folder.list_file.write_text(lines)
        with pytest.raises(ValueError, match="names no image with ground truth"):
            folder.open()

    def test_short_line(self, make):
        folder = make("diode")
        folder.list_file.write_text("\nscene/rgb_0.png gt/depth_0.npy\n")
        with pytest.raises(ValueError, match="line 2: 'scene/rgb_0.png gt/depth_0.npy' names 2 files, expected 3"):
            folder.open()

    def test_missing_image_is_found_before_the_first_is_read(self, make):
        folder = make("scannet")
        (folder.path / "gt/depth_1.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"list.txt, line 2: .*depth_1.png is missing"):
            folder.open()

    @pytest.mark.parametrize(
        "pixels", [rgb_of((24, 32)), np.zeros((24, 32), np.uint8)], ids=["colours", "eight bits a pixel"]
    )
    def test_depth_of_another_encoding(self, make, pixels):
        folder = make("scannet")
        png(folder.path / "gt/depth_0.png", pixels)
        with pytest.raises(ValueError, match=r"depth_0.png holds .* uint8, expected a 16-bit PNG of one channel"):
            folder.open()[0]

    def test_image_of_another_encoding(self, make):
        folder = make("scannet")
        png(folder.path / "scene/rgb_0.png", np.zeros((24, 32), np.uint8))
        with pytest.raises(ValueError, match=r"rgb_0.png holds \(24, 32\) uint8, expected an 8-bit image"):
            folder.open()[0]

    @pytest.mark.parametrize("name", ["scannet", "nyuv2", "kitti"])
    def test_depth_of_another_size(self, make, name):
        folder = make(name)
        png(folder.path / "gt/depth_0.png", np.zeros((24, 31), np.uint16))
        with pytest.raises(ValueError, match=r"depth_0.png is \(24, 31\) pixels, expected"):
            folder.open()[0]

    @pytest.mark.parametrize(("name", "expected"), [("nyuv2", r"\(480, 640\)"), ("kitti", r"at least \(352, 1216\)")])
    def test_images_of_another_size(self, make, name, expected):
        folder = make(name)
        png(folder.path / "scene/rgb_0.png", rgb_of((24, 32)))
        png(folder.path / "gt/depth_0.png", np.zeros((24, 32), np.uint16))
        with pytest.raises(ValueError, match=rf"rgb_0.png is \(24, 32\) \(height, width\), expected .*{expected}"):
            folder.open()[0]

    def test_eth3d_file_of_another_length(self, make):
        folder = make("eth3d")
        (folder.path / "gt/depth_0.png").write_bytes(b"1234" * 9)
        with pytest.raises(ValueError, match="depth_0.png holds 36 bytes, expected 2400"):
            folder.open()[0]

    def test_diode_file_that_is_damaged(self, make):
        folder = make("diode")
        (folder.path / "gt/depth_0.npy").write_bytes(b"damaged")
        with pytest.raises(ValueError, match=r"depth_0.npy is no readable .npy file"):
            folder.open()[0]

    def test_diode_mask_of_another_size(self, make):
        folder = make("diode")
        np.save(folder.path / "gt/mask_0.npy", np.ones((24, 31)))
        with pytest.raises(ValueError, match=r"mask_0.npy is \(24, 31\) pixels, expected \(24, 32\)"):
            folder.open()[0]

    def test_diode_file_of_no_numbers(self, make):
        folder = make("diode")
        np.save(folder.path / "gt/mask_0.npy", np.full((24, 32), "x"))
        with pytest.raises(ValueError, match=r"mask_0.npy holds <U1, expected numbers"):
            folder.open()[0]

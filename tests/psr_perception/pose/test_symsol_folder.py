"""The reader of SYMSOL, on a made-up copy of its form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from psr_perception.pose.symsol_folder import SHAPES, open_symsol_folder


def matrices(count, each, seed=0):
    return Rotation.random(count * each, random_state=seed).as_matrix().reshape(count, each, 3, 3).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Test: images 0, 2 and 10 of the cube, 0 of the cone. Training: one of each shape."""
    for split, tables, images in (
        ("train", {name: matrices(1, 3) for name in SHAPES.values()}, [(name, 0) for name in SHAPES.values()]),
        (
            "test",
            {"cube": matrices(11, 24), "cone": matrices(1, 360)},
            [("cube", 10), ("cube", 2), ("cube", 0), ("cone", 0)],
        ),
    ):
        (tmp_path / split / "images").mkdir(parents=True)
        np.savez(tmp_path / split / "rotations.npz", **tables)
        for name, number in images:
            picture = np.full((224, 224, 3), 10 * number + 5, np.uint8)
            assert cv2.imwrite(str(tmp_path / split / "images" / f"{name}_{number}.png"), picture)
    return tmp_path


class TestReading:
    def test_images_come_with_their_rotations(self, folder):
        data = open_symsol_folder(folder, "test", ("cone", "cube"))
        assert len(data) == 4
        assert data.shapes == ("cone", "cube", "cube", "cube")
        assert [path.name for path in data.paths] == ["cone_0.png", "cube_0.png", "cube_2.png", "cube_10.png"]
        torch.testing.assert_close(data.rotations[1:], torch.tensor(matrices(11, 24)[[0, 2, 10], 0]))
        assert [len(known) for known in data.equivalents] == [360, 24, 24, 24]
        torch.testing.assert_close(data.equivalents[3], torch.tensor(matrices(11, 24)[10]))

    def test_pictures_are_grey_and_of_the_size_asked_for(self, folder):
        picture = open_symsol_folder(folder, "test", ("cube",)).image(1, 32)
        torch.testing.assert_close(picture, torch.full((32, 32), 25 / 255))

    def test_training_knows_no_equivalents(self, folder):
        data = open_symsol_folder(folder, "train")
        assert data.shapes == tuple(SHAPES) and data.equivalents == ()


class TestRefusals:
    def test_unknown_names(self, folder):
        with pytest.raises(ValueError, match="split is 'valid', expected one of: train, test"):
            open_symsol_folder(folder, "valid")
        with pytest.raises(ValueError, match="shapes has 'tetX', expected some of: tetrahedron"):
            open_symsol_folder(folder, "test", ("tetX",))

    def test_missing_parts(self, folder):
        with pytest.raises(FileNotFoundError, match=r"images has no cyl_<number>.png"):
            open_symsol_folder(folder, "test", ("cylinder",))
        (folder / "test/rotations.npz").unlink()
        with pytest.raises(FileNotFoundError, match="test/rotations.npz is missing; expected symsol_dataset.zip"):
            open_symsol_folder(folder, "test")

    def test_a_table_of_another_shape(self, folder):
        for tables, message in (
            ({"cube": matrices(5, 24)}, r"cube has shape \(5, 24, 3, 3\), expected .* N above 10"),
            ({"cube": matrices(11, 24)[:, 0]}, "expected .N, n, 3, 3."),
            ({"cube": 2 * matrices(11, 24)}, "matrices that are no rotations"),
            ({"cone": matrices(1, 2)}, "has no rotations of cube, but of: cone"),
        ):
            np.savez(folder / "test/rotations.npz", **tables)
            with pytest.raises(ValueError, match=f"rotations.npz.*{message}"):
                open_symsol_folder(folder, "test", ("cube",))

    def test_damaged_files(self, folder):
        data = open_symsol_folder(folder, "test", ("cube",))
        data.paths[0].write_bytes(b"no picture")
        with pytest.raises(ValueError, match="cube_0.png is no square picture"):
            data.image(0, 32)
        whole = (folder / "test/rotations.npz").read_bytes()
        half = bytearray(whole)
        half[500:600] = bytes(100)
        for content, message in (
            (b"PK no archive", "no rotations of cube, but of: none"),
            (whole[:-200], "no rotations of cube"),
            (bytes(half), "damaged"),
        ):
            (folder / "test/rotations.npz").write_bytes(content)
            with pytest.raises(ValueError, match=f"rotations.npz .*{message}.*again"):
                open_symsol_folder(folder, "test", ("cube",))

    def test_a_stranger_among_the_images(self, folder):
        (folder / "test/images/cube_2 (copy).png").write_bytes(b"")
        with pytest.raises(ValueError, match=r"cube_2 \(copy\).png: expected cube_<number>.png"):
            open_symsol_folder(folder, "test", ("cube",))

"""Pictures of solids in known rotations: which solid, which rotation, errors, and what cannot be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from psr_core import so3
from psr_eval.pose_images import RenderedImages, SymsolImages
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symsol_folder import open_symsol_folder
from tests.psr_eval.pose_oracle import SYMMETRIES
from tests.psr_perception.pose.symsol_copy import write_symsol


class TestRendered:
    DATA = RenderedImages(["cube", "cone"], 8, SYMMETRIES)

    def test_even_and_odd_ones_show_the_same_solids(self):
        shapes = self.DATA.shapes
        assert shapes == ["cube", "cube", "cone", "cone"] * 2
        assert sorted(shapes[0::2]) == sorted(shapes[1::2])

    def test_show_their_solid_in_their_rotation(self):
        pictures, rotations = self.DATA.images([1, 6], 16), self.DATA.rotations([1, 6])
        for picture, rotation, name in zip(pictures, rotations, ("cube", "cone"), strict=True):
            torch.testing.assert_close(picture, render(SOLIDS[name], rotation[None], 16)[0])

    def test_are_the_same_whatever_else_is_asked_for_and_differ_from_others(self):
        assert torch.equal(self.DATA.rotations([3]), self.DATA.rotations([0, 3])[1:])
        later = RenderedImages(["cube", "cone"], 8, SYMMETRIES, first=100)
        assert not torch.equal(self.DATA.rotations([3]), later.rotations([3]))
        assert self.DATA.identity != later.identity

    def test_errors_are_modulo_each_solids_symmetry(self):
        numbers = [0, 2]
        truth = self.DATA.rotations(numbers)
        quarter = so3.exp(torch.tensor([0, 0, math.pi / 2]))  # nothing to a cube, nor to a cone
        other = so3.exp(torch.tensor([math.pi / 2, 0, 0]))  # nothing to a cube
        off = so3.exp(torch.tensor([math.radians(2), 0, 0]))
        found = self.DATA.errors(numbers, torch.stack([truth @ quarter @ off, truth @ other], 1))
        torch.testing.assert_close(found, torch.tensor([[2.0, 0.0], [2.0, 90.0]]), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("names", "count", "told"),
        [
            (["ball"], 4, "shapes has 'ball', expected some of: tetrahedron"),
            ([], 4, "shapes is '', expected one or more"),
            (["cube", "cube"], 4, "shapes is 'cube, cube', expected one or more, each once"),
            (["cube"], 1, "images is 1, expected 2 or more"),
        ],
    )
    def test_that_cannot_be_are_refused(self, names, count, told):
        with pytest.raises(ValueError, match=told):
            RenderedImages(names, count, SYMMETRIES)


class TestSymsol:
    NAMES = ("cube", "cone")

    @pytest.fixture
    def folder(self, tmp_path):
        write_symsol(tmp_path, self.NAMES, images=4)
        return open_symsol_folder(tmp_path, "test", self.NAMES)

    def test_shows_as_many_of_each_solid_and_each_image_once(self, folder):
        data = SymsolImages(folder, self.NAMES, 8, SYMMETRIES)
        assert data.shapes == ["cube", "cube", "cone", "cone"] * 2
        found = {tuple(rotation.flatten().tolist()) for rotation in data.rotations(range(8))}
        assert found == {tuple(rotation.flatten().tolist()) for rotation in folder.rotations}

    def test_pictures_show_their_solid_in_their_rotation(self, folder):
        data = SymsolImages(folder, self.NAMES, 8, SYMMETRIES)
        for picture, rotation, number in zip(data.images([5, 2], 16), data.rotations([5, 2]), (5, 2), strict=True):
            expected = render(SOLIDS[data.shape(number)], rotation[None], 16)[0]
            torch.testing.assert_close(picture, expected, atol=1 / 255, rtol=0)

    def test_errors_are_to_all_that_looks_the_same_not_to_the_listed_ones_only(self, folder):
        data = SymsolImages(folder, self.NAMES, 4, SYMMETRIES)
        turned = data.rotations([2]) @ so3.exp(torch.tensor([0, 0, math.radians(45)]))
        assert float(data.errors([2], turned[:, None])) < 0.01

    def test_that_there_are_too_few_of_is_told(self, folder):
        with pytest.raises(ValueError, match="images is 10, but there are only 4 of cube in the test split"):
            SymsolImages(folder, self.NAMES, 10, SYMMETRIES)

    def test_in_another_frame_is_refused(self, folder):
        turn = so3.exp(torch.tensor([0, 0, math.radians(30)]))
        other = replace(folder, equivalents=tuple(turn.mT @ known @ turn for known in folder.equivalents))
        with pytest.raises(ValueError, match=r"equivalent rotations of cube are off config/symmetries/cube.yaml"):
            SymsolImages(other, self.NAMES, 2, SYMMETRIES)

    def test_another_copy_is_told_apart_and_more_images_are_not(self, folder):
        some, more = (SymsolImages(folder, self.NAMES, count, SYMMETRIES) for count in (2, 8))
        turned = SymsolImages(replace(folder, rotations=folder.rotations.flip(0)), self.NAMES, 2, SYMMETRIES)
        assert some.identity == more.identity != turned.identity

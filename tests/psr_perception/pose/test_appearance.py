"""Pictures of any light and background: the solid is where it is, and all else differs from picture to picture."""

from __future__ import annotations

import pytest
import torch

from psr_core import so3
from psr_perception.pose.appearance import render_varied
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS

SIZE = 48


def varied(rotations, seed=0, solid="cube"):
    torch.manual_seed(seed)
    return render_varied(SOLIDS[solid], rotations, SIZE)


def some(count):
    return so3.random_rotations((count,), torch.Generator().manual_seed(0))


class TestPictures:
    @pytest.mark.parametrize("solid", ["cube", "cone"])
    def test_are_greys_of_every_background(self, solid):
        pictures = varied(some(200), solid=solid)
        assert pictures.shape == (200, SIZE, SIZE) and pictures.min() >= 0 and pictures.max() <= 1
        corners = pictures[:, :6, :6].mean((1, 2))
        assert corners.min() < 0.15 and corners.max() > 0.85 and corners.std() > 0.2

    def test_follow_from_torchs_generator(self):
        rotations = some(3)
        assert torch.equal(varied(rotations, 1), varied(rotations, 1))
        assert not torch.equal(varied(rotations, 1), varied(rotations, 2))

    def test_show_a_surface_behind_the_solid_and_not_before_it(self):
        """Of the same rotation under many backgrounds: what varies least is where the solid always is."""
        rotation = some(1)
        pictures = varied(rotation.expand(600, 3, 3))
        inside = render(SOLIDS["cube"], rotation, SIZE)[0] > 0
        deep = -torch.nn.functional.max_pool2d(-inside[None].float(), 9, 1, 4)[0] > 0  # whatever shift, zoom
        far = torch.nn.functional.max_pool2d(inside[None].float(), 9, 1, 4)[0] == 0
        within = pictures.std(0)
        assert deep.any() and within[deep].max() < within[far].min()


def test_without_pixels_is_refused():
    with pytest.raises(ValueError, match="size is 0 and supersampling 2"):
        render_varied(SOLIDS["cube"], some(1), 0)

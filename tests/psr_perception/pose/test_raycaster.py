"""Pictures: symmetric solids look alike exactly where they should, and R means what it says."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from scipy.spatial import ConvexHull

from psr_core import so3
from psr_perception.pose.raycaster import DISTANCE, intrinsics, render
from psr_perception.pose.solids import RADIUS, SOLIDS
from psr_perception.pose.symmetry import load_symmetry

CONFIG = Path(__file__).parents[3] / "config" / "symmetries"
GOLDEN = (1 + math.sqrt(5)) / 2
SIZE = 48
CORNERS = {
    "tetrahedron": [(0, math.sqrt(2), 1), (0, -math.sqrt(2), 1), (math.sqrt(2), 0, -1), (-math.sqrt(2), 0, -1)],
    "cube": list(product((-1, 1), repeat=3)),
    "icosahedron": [
        corner
        for s, t in product((-1, 1), repeat=2)
        for corner in ((0, s, t * GOLDEN), (s, t * GOLDEN, 0), (t * GOLDEN, 0, s))
    ],
}
every = pytest.mark.parametrize("name", list(SOLIDS))


def rotations(n, seed=0):
    return so3.random_rotations((n,), torch.Generator().manual_seed(seed), torch.float64)


def turned(*axis_angle):
    return so3.exp(torch.tensor([axis_angle], dtype=torch.float64))


def rim(radius, height):
    angles = torch.arange(720, dtype=torch.float64) * math.pi / 360
    return torch.stack([radius * angles.cos(), radius * angles.sin(), torch.full_like(angles, height)], dim=-1)


def corners(name):
    if name == "cone":
        return torch.cat([rim(0.4, -0.3), torch.tensor([[0, 0, RADIUS]], dtype=torch.float64)])
    if name == "cylinder":
        return torch.cat([rim(RADIUS / math.sqrt(2), height * RADIUS / math.sqrt(2)) for height in (-1, 1)])
    points = torch.tensor(CORNERS[name], dtype=torch.float64)
    return RADIUS * points / points.norm(dim=-1, keepdim=True)


def pixels(points, size=SIZE):
    """(u, v) of points (..., 3) in the object's frame turned into the camera's."""
    focal, centre = intrinsics(size)
    return focal * points[..., :2] / (points[..., 2:] + DISTANCE) + centre


class TestSymmetry:
    @every
    def test_turned_by_its_symmetries_a_solid_looks_the_same(self, name):
        group, base = load_symmetry(CONFIG / f"{name}.yaml"), rotations(1)
        elements = group.elements
        if group.axis is not None:
            elements = elements @ so3.exp(group.axis * torch.tensor([[[0.0]], [[1.234]], [[3.0]]]))
            elements = elements.flatten(0, -3)
        pictures = render(SOLIDS[name], base @ elements, SIZE)
        torch.testing.assert_close(pictures, pictures[:1].expand_as(pictures), rtol=0, atol=1e-9)

    @every
    def test_turned_otherwise_it_differs(self, name):
        base = rotations(6)
        for angle in (0.1, 0.7):
            other = render(SOLIDS[name], base @ turned(angle, 0, 0), SIZE)
            changed = (other - render(SOLIDS[name], base, SIZE)).abs()
            assert (changed.amax((1, 2)) > 0.05).all()

    @every
    def test_float32_shows_the_same_but_for_edges(self, name):
        narrow, wide = (render(SOLIDS[name], rotations(3).to(d), SIZE).double() for d in (torch.float32, torch.float64))
        assert ((narrow - wide).abs() > 1e-4).double().mean() < 1e-3


class TestConvention:
    @every
    def test_the_silhouette_is_that_of_the_projected_corners(self, name):
        """R takes object to camera coordinates: the hull of the projected R x, ray by ray."""
        for rotation in rotations(4):
            hull = ConvexHull(pixels(corners(name) @ rotation.mT))
            v, u = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij")
            equations = torch.tensor(hull.equations)
            outside = (torch.stack([u, v], -1) @ equations[:, :2].mT + equations[:, 2]).amax(-1)
            picture = render(SOLIDS[name], rotation[None], SIZE, supersampling=1)[0]
            sure = outside.abs() > (0 if name in CORNERS else 1e-3)  # rims have gaps between their points
            assert torch.equal((picture > 0)[sure], (outside < 0)[sure]) and sure.double().mean() > 0.99

    def test_the_cone_points_where_its_z_axis_goes(self):
        """Turned by +90 degrees about the camera's y, z goes to x: right. About x by -90, z goes to y: down."""
        for rotation, toward in ((turned(0, math.pi / 2, 0), (1, 0)), (turned(-math.pi / 2, 0, 0), (0, 1))):
            seen = (render(SOLIDS["cone"], rotation, SIZE)[0] > 0).nonzero().flip(-1).double()  # (u, v)
            along = (seen - intrinsics(SIZE)[1]) @ torch.tensor(toward, dtype=torch.float64)
            tip = pixels(torch.tensor([*(RADIUS * t for t in toward), 0.0], dtype=torch.float64))
            assert float(along.max()) == pytest.approx(float((tip - intrinsics(SIZE)[1]).max()), abs=1)
            base = intrinsics(SIZE)[0] * 0.3 / (DISTANCE - 0.4)  # the rim's point nearest to the camera
            assert float(-along.min()) == pytest.approx(base, abs=1)

    def test_a_cone_from_its_tip_and_from_its_base_is_a_disc(self):
        for angle, height in ((0.0, -0.3), (math.pi, 0.3)):
            picture = render(SOLIDS["cone"], turned(angle, 0, 0), 101, 1)[0]
            focal, _ = intrinsics(101)
            radius = 0.4 * focal / (DISTANCE + height)  # of the base, at -0.3 m of the cone's own z axis
            assert float((picture > 0).sum()) == pytest.approx(math.pi * radius**2, rel=0.02)

    def test_the_cylinder_from_the_side_is_nearly_its_rectangle(self):
        picture = render(SOLIDS["cylinder"], turned(math.pi / 2, 0, 0), 101, 1)[0] > 0
        focal, _ = intrinsics(101)
        half = RADIUS / math.sqrt(2)
        width = half / math.sqrt(DISTANCE**2 - half**2)  # the tangent of a ray that touches it
        assert int(picture[50].sum()) == pytest.approx(2 * focal * width, abs=1.5)
        assert int(picture[:, 50].sum()) == pytest.approx(2 * focal * half / (DISTANCE - half), abs=1.5)

    def test_light_comes_from_the_upper_left(self):
        picture = render(SOLIDS["cylinder"], turned(math.pi / 2, 0, 0), 101)[0]
        assert picture[50, 30] > picture[50, 70] > 0

    @every
    def test_everything_is_in_the_picture_and_sizes_agree(self, name):
        large, small = (render(SOLIDS[name], rotations(20), size, ss) for size, ss in ((96, 1), (SIZE, 2)))
        border = torch.cat([large[:, 0], large[:, -1], large[:, :, 0], large[:, :, -1]])
        assert border.max() == 0 and 0.08 < (large > 0).double().mean() < 0.7
        pooled = torch.nn.functional.avg_pool2d(large[:, None], 2)[:, 0]
        torch.testing.assert_close(pooled, small, rtol=0, atol=1e-9)


def test_no_pixel_is_refused():
    with pytest.raises(ValueError, match="size is 0 and supersampling 2, expected both to be 1 or more"):
        render(SOLIDS["cube"], rotations(1), 0)

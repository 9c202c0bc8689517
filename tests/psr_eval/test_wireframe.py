"""Lines of solids: as many edges as they have, on their surface, seen from where they can be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core import so3
from psr_eval.wireframe import drawn, edges, visible
from psr_perception.pose import raycaster
from psr_perception.pose.solids import RADIUS, SOLIDS

EDGES = {"tetrahedron": 6, "cube": 12, "icosahedron": 30, "cone": 2, "cylinder": 2}
SIZE = 96


@pytest.mark.parametrize("name", SOLIDS)
class TestEdges:
    def test_there_are_as_many_as_the_solid_has(self, name):
        assert len(edges(SOLIDS[name])) == EDGES[name]

    def test_they_lie_within_the_solid_and_reach_its_sphere(self, name):
        points = np.concatenate(edges(SOLIDS[name]))
        assert (points @ SOLIDS[name].normals.numpy().T <= SOLIDS[name].offsets.numpy() + 1e-9).all()
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(RADIUS, abs=1e-6)

    def test_the_outline_is_that_of_the_ray_casters_picture(self, name):
        rotation = so3.random_rotations((1,), torch.Generator().manual_seed(3), torch.float64)[0]
        focal, centre = raycaster.intrinsics(SIZE)
        K = np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]])
        lines = drawn(SOLIDS[name], rotation.numpy(), np.array([0, 0, raycaster.DISTANCE]), K)
        seen = raycaster.render(SOLIDS[name], rotation[None], SIZE)[0].numpy() > 0.05
        x, y = lines.outline.T
        area = abs(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])) / 2
        assert area == pytest.approx(seen.sum(), rel=0.05)
        rows, columns = np.nonzero(seen)
        assert [x.min(), x.max(), y.min(), y.max()] == pytest.approx(
            [columns.min(), columns.max(), rows.min(), rows.max()], abs=1.5
        )
        assert lines.seen and lines.hidden


def test_of_a_cube_that_shows_its_face_only_that_is_seen():
    cube, eye = SOLIDS["cube"], np.array([0.0, 0.0, -1.5])
    seen = [line for line in edges(cube) if visible(cube, line[1:-1], eye).all()]
    assert len(seen) == 4
    assert all(np.allclose(line[:, 2], -RADIUS / np.sqrt(3)) for line in seen)


def test_of_a_cylinder_seen_from_above_the_far_rim_is_hidden():
    cylinder, eye = SOLIDS["cylinder"], np.array([0.0, 0.0, 1.5])
    assert sorted(visible(cylinder, rim, eye).mean() for rim in edges(cylinder)) == [0, 1]

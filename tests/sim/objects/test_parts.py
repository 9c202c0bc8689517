"""What objects are put together from: closed surfaces with the right volumes, seen from outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.objects.parts import arc, ball, bar, block, extruded, hollow, rotation, smooth, tube, turned


def volume(part) -> float:
    """Of a closed surface, positive when its faces are counterclockwise seen from outside (divergence theorem)."""
    a, b, c = (part.mesh.vertices[part.mesh.faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


class TestTurned:
    def test_a_cylinder_and_a_cone_have_their_volumes(self):
        cylinder = turned([(0, 0), (2, 0), (2, 3), (0, 3)], sides=200)
        cone = turned([(0, 1), (2, 1), (0, 4)], sides=200)
        assert volume(cylinder) == pytest.approx(np.pi * 4 * 3, rel=1e-3)
        assert volume(cone) == pytest.approx(np.pi * 4 * 3 / 3, rel=1e-3)

    def test_a_hollow_vessel_is_its_wall(self):
        outside = [(1.0, 0.0), (1.0, 2.0)]
        vessel = turned(hollow(outside, 0.1), sides=200)
        assert volume(vessel) == pytest.approx(np.pi * (2 - 0.81 * 1.9), rel=1e-2)

    def test_a_label_covers_the_front_alone(self):
        points = turned([(1, 0), (1, 1)], turn=(-0.5, 0.5)).points()
        assert points[:, 0].min() == pytest.approx(np.cos(0.5))


class TestTube:
    def test_a_ring_has_the_volume_of_a_torus(self):
        ring = tube(arc((0, 0, 0), (2, 2), 0, 2 * np.pi, 200), 0.3, sides=60)
        assert abs(volume(ring)) == pytest.approx(2 * np.pi**2 * 2 * 0.09, rel=1e-2)

    @pytest.mark.parametrize("way", [(0.5, 0.9), (-0.5, 0.9)])
    @pytest.mark.parametrize("turn", [(-np.pi / 2, np.pi / 2), (np.pi / 2, -np.pi / 2)])
    def test_is_seen_from_outside_whichever_way_it_runs(self, way, turn):
        hose = tube(arc((0, 0, 0), way, *turn), 0.1)
        a, b, c = (hose.mesh.vertices[hose.mesh.faces[:, corner]] for corner in range(3))
        along = arc((0, 0, 0), way, *turn)
        middle = (a + b + c) / 3
        core = along[np.linalg.norm(middle[:, None] - along, axis=2).argmin(1)]
        outwards = (np.cross(b - a, c - a) * (middle - core)).sum(1)
        assert (outwards > 0).mean() > 0.95


class TestExtruded:
    @pytest.mark.parametrize("taper", [1.0, 0.5])
    def test_has_its_volume_seen_from_outside(self, taper):
        square = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        frustum = (4 + 4 * taper + 4 * taper**2) / 3 * 1.5  # one end, half of a half length
        assert volume(extruded(square, 3, taper=taper)) == pytest.approx(4 * 3 + 2 * frustum)


class TestPoints:
    @given(st.integers(0, 1000))
    def test_surround_the_part(self, seed):
        rng = np.random.default_rng(seed)
        euler, middle = tuple(rng.uniform(-3, 3, 3)), rng.normal(size=3)
        half = rng.uniform(0.2, 1, 3)
        inside = rng.uniform(-1, 1, (50, 3)) * half @ rotation(euler).T + middle
        points = block(half, middle, euler=euler).points()
        for way in rng.normal(size=(20, 3)):
            assert (inside @ way).max() <= (points @ way).max() + 1e-9

    @given(st.integers(0, 1000))
    def test_of_what_is_round_miss_little(self, seed):
        rng = np.random.default_rng(seed)
        way = rng.normal(size=3)
        way /= np.linalg.norm(way)
        assert 0.85 * 2 <= (ball(2, (0, 0, 0)).points() @ way).max() <= 2 + 1e-9
        ends = np.array([[0, 0, 0], [0, 0, 5.0]])
        reach = (ends @ way).max()
        assert reach + 0.85 <= (bar(*ends, 1).points() @ way).max() <= reach + 1 + 1e-9


def test_rotations_are_mujocos():
    import mujoco

    euler = (0.3, -0.7, 1.1)
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_euler2Quat(quat, np.array(euler), "xyz")
    mujoco.mju_quat2Mat(matrix, quat)
    np.testing.assert_allclose(rotation(euler), matrix.reshape(3, 3), atol=1e-12)


def test_a_smooth_outline_goes_through_its_points():
    outline = smooth([(0.5, 0), (1, 1), (0.2, 2)], 21)
    assert outline[0] == (0.5, 0) and outline[10] == pytest.approx((1, 1)) and outline[-1] == pytest.approx((0.2, 2))
    assert max(radius for radius, _ in outline) == pytest.approx(1)

"""Depth is planar and exact, cameras keep their distance, and useless views are told by their faults."""

from __future__ import annotations

import dataclasses
from collections import Counter
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.rendering import Camera, CameraConfig, CameraImages, choose_gl, intrinsics
from sim.rgbd import views
from sim.rgbd.scene import CAMERA, FOVY, Scene, add_view
from sim.rgbd.views import clearance, find_fault, look, look_at, random_pose, random_views

SIZE = (48, 64)
FLOOR = '<geom type="plane" size="9 9 .1" group="1" rgba=".8 .7 .6 1"/>'
WALL = '<geom type="box" size=".1 9 9" pos="2.1 0 0" group="1"/>'
HIDDEN = '<geom type="sphere" size="9" pos="20 0 10" group="0"/>'
# blocks of three greys about the middle, so that every view of it has light and contrast
BLOCKS = "".join(
    f'<geom type="box" size=".12 .12 {0.05 + 0.03 * (i % 4)}" pos="{x} {y} 0" group="1" rgba="{grey} {grey} {grey} 1"/>'
    for i, (x, y, grey) in enumerate((x, y, g) for x, g in ((-0.3, 0.2), (0, 0.5), (0.3, 1)) for y in (-0.3, 0, 0.3))
)


def scene(*geoms: str) -> Scene:
    root = ET.fromstring(f"<mujoco><worldbody><light pos='0 0 3'/>{''.join(geoms)}</worldbody></mujoco>")
    add_view(root, root.find("worldbody"), np.random.default_rng(0))
    return Scene(ET.tostring(root, encoding="unicode"), {}, np.zeros(3), 0.5)


@pytest.fixture(scope="module")
def drawn():
    """Depth and K of a scene from a position towards a target."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    made = {}

    def draw(geoms, position, target, roll=0.0):
        if geoms not in made:
            model, data = scene(*geoms).load()
            made[geoms] = (Camera(model, CameraConfig(CAMERA, SIZE[1], SIZE[0])), model, data)
        return look(*made[geoms], np.array(position, float), look_at(np.array(position), np.array(target), roll))

    yield draw
    for camera, _, _ in made.values():
        camera.close()


class TestDepth:
    """The z of a point, not its distance: a wall ahead has one depth up to the corners of the image."""

    @given(distance=st.floats(0.3, 8), roll=st.floats(-3, 3))
    def test_of_a_wall_ahead_is_its_distance_everywhere(self, drawn, distance, roll):
        depth = drawn((WALL,), (2 - distance, 0.2, 0.1), (2, 0.2, 0.1), roll).depth
        np.testing.assert_allclose(depth, distance, rtol=1e-3)

    @given(height=st.floats(0.3, 3), tilt=st.floats(0.0, 0.5), azimuth=st.floats(-3, 3))
    def test_of_a_floor_is_where_the_pixels_rays_meet_it(self, drawn, height, tilt, azimuth):
        position = np.array([0.1, 0.2, height])
        target = position + [np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), -np.cos(tilt)]
        images = drawn((FLOOR,), position, target)
        rows, columns = np.indices(SIZE)
        rays = np.stack([columns, rows, np.ones(SIZE)], axis=-1) @ np.linalg.inv(images.K).T  # z = 1, y down
        world = rays @ (look_at(position, target) @ np.diag([1.0, -1.0, -1.0])).T
        np.testing.assert_allclose(images.depth, height / -world[..., 2], rtol=2e-3)

    def test_at_an_edge_is_that_of_one_side(self, drawn):
        depth = drawn((WALL, BLOCKS), (-1.0, 0.05, 0.1), (2, 0.3, 0.1)).depth
        near, far = depth[depth < 1.6], depth[depth >= 1.6]
        assert min(near.size, far.size) > 100
        assert near.max() < 1.5 and far.min() > 2.5  # no mixture of block and wall

    def test_of_the_sky_is_none(self, drawn):
        images = drawn((FLOOR,), (0, 0, 1), (1, 0, 1))
        assert np.isinf(images.depth[: SIZE[0] // 2]).all()
        assert np.isfinite(images.depth[-5:]).all()


class TestPoses:
    @given(st.integers(0, 10**6))
    def test_a_pose_is_above_the_focus_and_looks_at_about_it(self, seed):
        focus, radius = np.array([1.0, -2.0, 0.7]), 0.4
        position, rotation = random_pose(np.random.default_rng(seed), focus, radius)
        distance = np.linalg.norm(position - focus)
        assert 0.99 * radius <= distance <= 4.01 * radius
        assert position[2] > focus[2]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        towards = focus - position
        along = towards @ -rotation[:, 2]
        aside = np.linalg.norm(towards + along * rotation[:, 2])
        assert aside <= radius * np.sqrt(0.7**2 + 0.7**2 + 0.4**2)

    def test_without_roll_up_is_up(self):
        rotation = look_at(np.array([1.0, 2, 3]), np.array([0.5, 0, 0]))
        assert rotation[2, 0] == pytest.approx(0)
        assert rotation[2, 1] > 0

    def test_straight_down_is_possible(self):
        np.testing.assert_allclose(look_at(np.array([0, 0, 1.0]), np.zeros(3)), np.eye(3), atol=1e-12)


class TestClearance:
    @pytest.mark.parametrize(
        ("geom", "position", "distance"),
        [
            (FLOOR, (3, 1, 0.4), 0.4),
            (FLOOR, (3, 1, -0.4), 0.0),
            (WALL, (1.5, 0, 0), 0.5),
            (WALL, (2.1, 0, 0), 0.0),
            (WALL, (2.5, 9.4, 0), 0.5),
            ('<geom type="sphere" size=".3" pos="1 1 1" group="1"/>', (1, 1, 2), 0.7),
            ('<geom type="box" size=".1 .5 .1" euler="0 0 90" group="1"/>', (0.8, 0, 0), 0.3),
            ('<geom type="cylinder" size=".1" fromto="0 0 0 0 0 1" group="1"/>', (0, 0, 1.25), 0.25),
        ],
    )
    def test_is_the_distance_to_the_nearest_geom(self, geom, position, distance):
        model, data = scene(HIDDEN, geom).load()
        assert clearance(model, data, np.array(position, float)) == pytest.approx(distance, abs=1e-6)

    def test_where_nothing_stands_it_is_endless(self):
        assert clearance(*scene(HIDDEN).load(), np.zeros(3)) == np.inf

    def test_it_keeps_what_the_widest_camera_sees_beyond_the_least_depth(self):
        height, width = 100, 200
        K = intrinsics(FOVY[1], width, height)
        corner = np.linalg.inv(K) @ [-0.5, -0.5, 1]
        assert views.CLEARANCE / np.linalg.norm(corner) > views.MIN_DEPTH


def view(depth=None, rgb=None) -> CameraImages:
    """A good view, in which something is changed."""
    rows, columns = np.indices(SIZE)
    good = np.where((rows - 20) ** 2 + (columns - 30) ** 2 < 150, 0.6, 1 + rows / 20).astype(np.float32)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return CameraImages(noise if rgb is None else rgb, good if depth is None else depth.astype(np.float32), np.eye(3))


class TestFaults:
    def test_a_good_view_has_none(self):
        assert find_fault(view()) is None

    def test_too_little_depth(self):
        depth = view().depth.copy()
        depth[:3] = np.inf  # 6 %
        assert find_fault(view(depth)) == views.EMPTY
        depth[1:3] = 5.0
        assert find_fault(view(depth)) is None
        assert find_fault(view(np.full(SIZE, np.inf))) == views.EMPTY

    def test_too_near(self):
        depth = view().depth.copy()
        depth[5, 6] = 0.09
        assert find_fault(view(depth)) == views.NEAR

    @given(st.floats(0.2, 10))
    def test_the_same_depth_everywhere(self, distance):
        noise = np.random.default_rng(0).uniform(0.95, 1.05, SIZE)
        assert find_fault(view(distance * noise)) == views.FLAT

    @given(st.floats(0.3, 0.9), st.floats(-3, 3), st.floats(0.2, 5))
    def test_a_single_plane(self, tilt, azimuth, distance):
        rows, columns = np.indices(SIZE)
        rays = np.stack([columns, rows, np.ones(SIZE)], axis=-1) @ np.linalg.inv(intrinsics(50, *SIZE[::-1])).T
        normal = [np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)]
        assert find_fault(view(distance / (rays @ normal))) in (views.PLANE, views.FLAT)
        assert find_fault(view(2 / (rays @ [0, 0.6, 0.8]))) == views.PLANE

    def test_darkness_and_one_colour(self):
        assert find_fault(view(rgb=view().rgb // 4)) == views.DARK
        assert find_fault(view(rgb=np.full((*SIZE, 3), 90, np.uint8))) == views.BLANK


class TestRandomViews:
    @pytest.fixture(autouse=True)
    def gl(self):
        if not choose_gl().ok:
            pytest.skip(choose_gl().detail)

    def test_a_scene_with_things_gives_good_views(self):
        rejected: Counter[str] = Counter()
        found = list(random_views(scene(FLOOR, BLOCKS), np.random.default_rng(3), 3, 64, 48, rejected))
        assert [find_fault(images) for images in found] == [None] * 3
        assert set(rejected) <= set(views.FAULTS)
        again = list(random_views(scene(FLOOR, BLOCKS), np.random.default_rng(3), 3, 64, 48, Counter()))
        assert [images.rgb.tobytes() for images in again] == [images.rgb.tobytes() for images in found]

    @pytest.mark.parametrize(
        ("geoms", "fault"), [((FLOOR,), views.PLANE), ((HIDDEN,), views.EMPTY), ((FLOOR, WALL + BLOCKS), views.NEAR)]
    )
    def test_tries_end_and_are_counted(self, geoms, fault):
        rejected: Counter[str] = Counter()
        cramped = dataclasses.replace(scene(*geoms), radius=0.1 if fault == views.NEAR else 0.5)
        if fault == views.PLANE:
            cramped = dataclasses.replace(cramped, focus=np.array([0, 0, 0.3]))
        assert list(random_views(cramped, np.random.default_rng(0), 2, 64, 48, rejected)) == []
        assert sum(rejected.values()) == 2 * views.TRIES
        assert rejected.most_common(1)[0][0] == fault

"""Things stand on the ground, rooms are repeatable, and the test set's things and patterns are others."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import cv2
import mujoco
import numpy as np
import pytest

from sim.rgbd import clutter, shapes, skins
from sim.rgbd.clutter import random_room
from sim.rgbd.shapes import SHAPES
from sim.rgbd.skins import PATTERNS, SIDE, skin
from sim.rgbd.views import clearance

EVERY_SHAPE = [shape for split in SHAPES.values() for shape in split]
GROUND = '<geom name="ground" type="box" size="9 9 .1" pos="0 0 -.1"/>'


def rng(seed=0):
    return np.random.default_rng(seed)


def heights(shape, seed):
    """How far above the ground each geom of a thing of size 0.2 m begins (m; negative: below it)."""
    asset, world = ET.Element("asset"), ET.fromstring(f"<worldbody>{GROUND}</worldbody>")
    builder = clutter._Builder(asset, world, rng(seed))
    materials = "".join(f'<material name="thing{number}"/>' for number in range(3))
    for geom in shape(rng(seed), 0.2):
        builder._add(world, geom, f"thing{geom.skin}")
    inner = ET.tostring(asset, encoding="unicode").replace("<asset>", f"<asset>{materials}").replace("<asset />", "")
    inner = inner or f"<asset>{materials}</asset>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{inner}{ET.tostring(world, encoding='unicode')}</mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return [mujoco.mj_geomDistance(model, data, 0, geom, 5.0, None) for geom in range(1, model.ngeom)]


class TestThings:
    @pytest.mark.parametrize("shape", EVERY_SHAPE, ids=lambda shape: shape.__name__)
    def test_they_stand_on_the_ground(self, shape):
        for seed in range(5):
            assert min(heights(shape, seed)) == pytest.approx(0, abs=0.004)  # 2 % of the size

    def test_no_thing_is_in_both_splits(self):
        assert not set(shapes.SHAPES["train"]) & set(shapes.SHAPES["test"])

    @pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
    def test_a_room_is_made_of_its_splits_things_and_patterns(self, monkeypatch, split, other):
        monkeypatch.delitem(SHAPES, other)
        monkeypatch.delitem(PATTERNS, other)
        made = set()
        for table in (SHAPES, PATTERNS):
            noted = tuple(lambda *a, made=made, maker=maker: (made.add(maker), maker(*a))[1] for maker in table[split])
            monkeypatch.setitem(table, split, noted)
        originals = {cell for split in (SHAPES, PATTERNS) for cell in split}
        assert originals == {split}
        for seed in range(8):
            random_room(split, rng(seed)).load()
        assert len(made) == len(SHAPES[split]) + len(PATTERNS[split])  # and all of them come up


class TestPatterns:
    def test_none_is_in_both_splits(self):
        assert not set(skins.PATTERNS["train"]) & set(skins.PATTERNS["test"])

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_a_skin_is_a_colour_picture_that_its_generator_settles(self, split):
        first = skin(rng(1), split)
        assert first == skin(rng(1), split) != skin(rng(2), split)
        assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_UNCHANGED).shape == (SIDE, SIDE, 3)

    @pytest.mark.parametrize("pattern", [p for split in PATTERNS.values() for p in split], ids=lambda p: p.__name__)
    def test_a_pattern_is_a_mix_of_two_colours(self, pattern):
        for seed in range(5):
            mix = pattern(rng(seed))
            assert mix.shape == (SIDE, SIDE)
            assert mix.min() >= 0 and mix.max() <= 1
            assert pattern is skins.plain or np.ptp(mix) > 0.3


class TestRooms:
    def test_the_generator_settles_the_room(self):
        first, again, other = (random_room("train", rng(seed)) for seed in (3, 3, 4))
        assert (first.xml, first.assets) == (again.xml, again.assets)
        assert other.xml != first.xml

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_everything_is_meant_to_be_seen_and_things_are_about_the_focus(self, split):
        for seed in range(6):
            room = random_room(split, rng(seed))
            model, data = room.load()
            assert set(model.geom_group) == {1}
            moved = list(range(1, model.nbody))
            assert 3 <= len(moved) <= 14
            reach = np.linalg.norm(data.xpos[moved] - room.focus, axis=1)
            assert reach.max() <= room.radius + 1e-4
            assert clearance(model, data, room.focus) < 0.03  # on the floor or on a table

    def test_walls_stand_upright_about_the_floor(self):
        walls = 0
        for seed in range(8):
            model, data = random_room("train", rng(seed)).load()
            floor = model.geom_size[0, :2]
            for geom in range(1, model.ngeom):
                if model.mat(model.geom_matid[geom]).name.startswith("wall"):
                    walls += 1
                    half = np.abs(data.geom_xmat[geom].reshape(3, 3)) @ model.geom_size[geom]  # along x, y, z
                    axis = int(np.argmin(half))
                    middle = data.geom_xpos[geom]
                    assert abs(middle[axis]) - half[axis] == pytest.approx(floor[axis], abs=1e-3)
                    assert half[1 - axis] == pytest.approx(floor[1 - axis], abs=1e-3)
                    assert middle[2] == pytest.approx(half[2], abs=1e-3)
                    assert np.argmin(model.geom_size[geom]) == 2  # so that its pattern lies on it
        assert 16 < walls <= 32

"""Rendered objects: what is in the folder, that it does not depend on how it was made, and that views are true."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core.object_folder import read_object_image, read_object_index, view_word
from psr_core.object_prior.training_pictures import load_pictures
from sim.objects import render as module
from sim.objects.kinds import KINDS
from sim.objects.looks import COLOURS, MATERIALS, random_tint
from sim.objects.render import ObjectPlan, draw_views, random_directions, render_objects, write_object
from sim.objects.scene import framing, random_object
from sim.rendering import choose_gl
from sim.rendering_run import Job, RenderReport

PLAN = ObjectPlan(train=6, test=3, size=32, seed=2)


@pytest.fixture
def here(monkeypatch):
    """Rendering in this process, with an interruption before the object that a test names by its first image."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    stop: list[int] = []

    def rendered(plan, out, jobs, workers):
        for job in jobs:
            if job.first in stop:
                raise KeyboardInterrupt
            yield write_object(plan, out, job)

    monkeypatch.setattr(module, "_rendered", rendered)
    return stop


def content(folder):
    files = {path.name: path.read_bytes() for path in folder.glob("images/*.png")}
    index = read_object_index(folder)
    index["rendered"].pop("command")
    return files, index


@pytest.mark.slow
def test_workers_and_interruptions_do_not_matter_and_training_reads_it(here, monkeypatch, tmp_path):
    here.append(4)
    with pytest.raises(KeyboardInterrupt):
        render_objects(PLAN, tmp_path / "part", command="psr it")
    assert not (tmp_path / "part/index.json").exists()
    here.clear()
    reports: list[RenderReport] = []
    render_objects(PLAN, tmp_path / "part", command="psr it", progress=reports.append)
    assert [report.images for report in reports] == [4, 6, 9]
    monkeypatch.undo()
    render_objects(PLAN, tmp_path / "whole", workers=2, command="psr whole")
    assert content(tmp_path / "part") == content(tmp_path / "whole")
    files, index = content(tmp_path / "whole")
    assert len(set(files.values())) == 9
    assert (index["train"], index["test"]) == (list(range(6)), [6, 7, 8])
    assert [image["kind"] for image in index["images"]] == ["mug"] * 4 + ["bowl"] * 2 + ["mug"] * 3
    for image in index["images"]:
        assert image["view"] == view_word(image["azimuth"], image["elevation"])
        assert image["colour"] in COLOURS and image["material"] in MATERIALS
        assert read_object_image(tmp_path / "whole", image, 32).std() > 5
    learned, judged = load_pictures(tmp_path / "whole", 8)
    assert (len(learned), len(judged)) == (6, 3)
    with pytest.raises(ValueError, match="index.json: size is 32, expected 16"):
        render_objects(ObjectPlan(6, 3, 16, 2), tmp_path / "whole", command="psr it")


class TestObjects:
    @pytest.mark.parametrize("kind", list(KINDS))
    def test_are_valid_models_in_the_middle_of_their_bounds(self, kind):
        shapes = set()
        for seed in range(3):
            shown = random_object(kind, np.random.default_rng(seed))
            model, data = shown.scene.load()
            assert shown.colour in KINDS[kind].colours and shown.material in KINDS[kind].materials
            reach = np.linalg.norm(data.geom_xpos - shown.scene.focus, axis=1)
            assert (reach <= shown.scene.radius).all() and model.ngeom >= 1
            shapes.add((model.geom_size.tobytes(), model.geom_pos.tobytes()))
        assert len(shapes) == 3 or kind == "cube"

    def test_materials_and_colours_that_kinds_name_exist(self):
        for kind in KINDS.values():
            assert set(kind.materials) | {kind.second} <= set(MATERIALS)
            assert set(kind.colours) | set(kind.seconds) <= set(COLOURS)

    @given(st.sampled_from(list(COLOURS)), st.integers(0, 200))
    def test_a_tint_is_nearest_to_the_colour_of_its_name(self, colour, seed):
        tint = random_tint(np.random.default_rng(seed), colour)
        assert ((tint >= 0) & (tint <= 1)).all()
        assert np.abs(tint - COLOURS[colour]).max() < 0.35

    def test_there_are_many_kinds(self):
        assert len(KINDS) >= 12


class TestViews:
    @given(st.integers(0, 1000))
    def test_of_an_object_are_from_all_around(self, seed):
        directions = random_directions(np.random.default_rng(seed), 4)
        quarters = {round(azimuth / 90) % 4 for azimuth, _ in directions}
        assert quarters == {0, 1, 2, 3}
        assert all(-180 <= azimuth <= 180 and -10 <= elevation <= 85 for azimuth, elevation in directions)

    def test_from_above_are_an_eighth(self):
        words = Counter(view_word(*random_directions(np.random.default_rng(n), 1)[0]) for n in range(2000))
        assert words["overhead"] / 2000 == pytest.approx(1 / 8, abs=0.03)
        assert words["side"] > words["front"] > 300 and words["back"] > 300

    @settings(max_examples=30)
    @given(st.floats(-180, 180), st.floats(-10, 85), st.integers(0, 50))
    def test_the_object_fills_the_picture_and_is_not_cut(self, azimuth, elevation, seed):
        shown = random_object("chair", np.random.default_rng(seed)).scene
        position, target = framing(shown, azimuth, elevation, 0.9, np.zeros(3), 40.0)
        np.testing.assert_allclose(target, shown.focus)
        half_angle = np.arcsin(shown.radius / np.linalg.norm(position - target))
        assert np.tan(half_angle) / np.tan(np.radians(20)) == pytest.approx(0.9)
        level = np.arctan2(position[2] - target[2], np.linalg.norm(position[:2] - target[:2]))
        assert np.degrees(level) == pytest.approx(elevation, abs=1e-6)

    def test_the_front_looks_along_x_and_left_is_at_azimuth_90(self):
        shown = random_object("car", np.random.default_rng(0)).scene
        for azimuth, way in ((0, (1, 0, 0)), (90, (0, 1, 0)), (180, (-1, 0, 0))):
            position, target = framing(shown, azimuth, 0, 0.9, np.zeros(3), 40.0)
            np.testing.assert_allclose((position - target) / np.linalg.norm(position - target), way, atol=1e-12)

    def test_a_clock_has_its_face_in_front_and_a_mug_its_handle_on_the_right(self):
        if not choose_gl().ok:
            pytest.skip(choose_gl().detail)
        rng = np.random.default_rng(1)
        clock = next(shown for shown in iter(lambda: random_object("clock", rng), None) if shown.material == "plastic")
        front, back = draw_views(clock, rng, [(0, 0), (180, 0)], 32)
        detail = [np.abs(np.diff(picture[8:24, 8:24].astype(float), axis=1)).mean() for picture in (front, back)]
        assert detail[0] > 2 * detail[1]
        (mug,) = draw_views(random_object("mug", rng), rng, [(0, 0)], 64)
        differs = np.abs(mug.astype(float) - mug[0, 0]).max(2) > 25
        columns = np.flatnonzero(differs.any(0))
        per_column = differs.sum(0)
        assert per_column[columns[2]] > 1.5 * per_column[columns[-3]]  # a wall on the left, a thin handle on the right


class TestPlan:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [({"size": 8}, "size is 8, expected 16 to 1024"), ({"train": -1}, "train is -1"), ({"seed": -1}, "seed is -1")],
    )
    def test_impossible_numbers_are_refused(self, fields, message):
        with pytest.raises(ValueError, match=message):
            ObjectPlan(**{"train": 1, "test": 1, **fields})

    def test_every_image_has_one_object_and_kinds_come_in_turn(self):
        jobs = list(PLAN.objects())
        assert jobs == [Job("train", 0, 0, 4), Job("train", 1, 4, 2), Job("test", 0, 6, 3)]

    def test_no_worker(self, tmp_path):
        with pytest.raises(ValueError, match="workers is 0"):
            render_objects(PLAN, tmp_path / "out", workers=0, command="test")
        assert not (tmp_path / "out").exists()

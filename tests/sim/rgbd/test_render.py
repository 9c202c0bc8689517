"""A rendered folder: what is in it, that it does not depend on how it was made, and which folders are refused."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from psr_core.rgbd_folder import read_rgbd_index
from psr_perception.depth.rgbd_folder import open_rgbd_folder
from sim import rendering_run
from sim.rendering import GlReport, choose_gl, intrinsics
from sim.rendering_run import LOG, Job, RenderReport
from sim.rgbd import render as module
from sim.rgbd.render import Plan, render, render_scene, write_scene
from sim.rgbd.robot_scenes import TASKS, RobotScenes
from sim.rgbd.scene import FOVY
from sim.rgbd.views import FAULTS

PLAN = Plan(train=10, test=5, width=48, height=36, seed=3)  # rooms and a robot's scene; the last scenes are not full


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Rendered by two workers."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    out = tmp_path_factory.mktemp("rgbd") / "whole"
    reports: list[RenderReport] = []
    render(PLAN, out, workers=2, command="psr render it", progress=reports.append)
    return out, reports


@pytest.fixture(scope="module")
def robots():
    scenes = RobotScenes()
    yield scenes
    scenes.close()


@pytest.fixture
def here(monkeypatch, robots):
    """Rendering in this process, with an interruption before the scene that a test names by its first image."""
    stop: list[int] = []

    def rendered(plan, out, jobs, workers):
        for job in jobs:
            if job.first in stop:
                raise KeyboardInterrupt
            yield write_scene(plan, out, robots, job)

    monkeypatch.setattr(module, "_rendered", rendered)
    return stop


@pytest.fixture
def blank(monkeypatch, here):
    """Rendering of nothing, for tests about files: scenes without images."""

    def write(plan, out, robots, job):
        entries = [{"rgb": f"{n}", "depth": f"{n}"} for n in range(job.first, job.first + job.count)]
        return entries, Counter({FAULTS[0]: 1})

    monkeypatch.setattr("tests.sim.rgbd.test_render.write_scene", write)
    return here


def content(folder):
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
    index = read_rgbd_index(folder)
    index["rendered"].pop("command")
    return files, index


@pytest.mark.slow
class TestFolder:
    def test_training_reads_it(self, whole):
        for split, count in (("train", 10), ("test", 5)):
            samples = open_rgbd_folder(whole[0], split)
            assert len(samples) == count
            for sample in samples:
                assert sample.rgb.shape == (36, 48, 3)
                assert sample.valid.mean() >= 0.95
                assert np.ptp(sample.depth[sample.valid]) > 0.1
                assert sample.depth[sample.valid].min() >= 0.1

    def test_the_index_says_what_each_image_is_and_how_all_were_made(self, whole):
        index = read_rgbd_index(whole[0])
        scenes = [image["scene"] for image in index["images"]]
        assert scenes[:8] == ["room 0"] * 4 + ["room 1"] * 4
        task, number = scenes[8].split()
        assert task in TASKS["train"] and number == "2" and scenes[9] == scenes[8]
        assert scenes[10:] == ["room 0"] * 4 + ["room 1"]
        assert (index["train"], index["test"]) == (list(range(10)), list(range(10, 15)))
        for image in index["images"]:
            fx, fy, cx, cy = image["K"]
            assert (fx, cx, cy) == (fy, 23.5, 17.5)
            assert intrinsics(FOVY[1], 48, 36)[0, 0] <= fx <= intrinsics(FOVY[0], 48, 36)[0, 0]
        assert index["rendered"]["command"] == "psr render it"
        assert index["rendered"]["seed"] == 3
        assert set(index["rendered"]["rejected"]) <= set(FAULTS)
        assert not (whole[0] / LOG).exists()

    def test_progress_counts_every_scene(self, whole):
        assert [report.images for report in whole[1]] == [0, 4, 8, 10, 14, 15]
        assert {report.total for report in whole[1]} == {15}

    def test_scenes_of_tests_and_of_training_differ(self, whole):
        pictures = [path.read_bytes() for path in sorted(whole[0].glob("rgb/*.png"))]
        assert len(set(pictures)) == len(pictures)


@pytest.mark.slow
class TestSameImagesHoweverMade:
    def test_an_interruption_and_the_number_of_workers_do_not_matter(self, whole, here, tmp_path):
        here.append(8)
        with pytest.raises(KeyboardInterrupt):
            render(PLAN, tmp_path / "out", command="test")
        assert not (tmp_path / "out/index.json").exists()
        with (tmp_path / "out" / LOG).open("a") as file:
            file.write('{"images": [{"rgb": "rg')  # cut off in the writing
        here.clear()
        seen: list[RenderReport] = []
        render(PLAN, tmp_path / "out", command="test", progress=seen.append)
        assert [report.images for report in seen] == [8, 10, 14, 15]
        assert content(tmp_path / "out") == content(whole[0])

    def test_a_smaller_set_is_the_beginning_of_a_larger(self, whole, here, tmp_path):
        render(Plan(3, 0, 48, 36, 3), tmp_path / "out", command="test")
        for file, data in content(tmp_path / "out")[0].items():
            assert (whole[0] / file).read_bytes() == data

    def test_another_seed_gives_other_images(self, whole, here, tmp_path):
        render(Plan(1, 0, 48, 36, 4), tmp_path / "out", command="test")
        files, _ = content(tmp_path / "out")
        assert len(files) == 2
        assert all((whole[0] / file).read_bytes() != data for file, data in files.items())


class TestFiles:
    def test_a_complete_folder_is_left_as_it_is(self, blank, tmp_path):
        first = render(PLAN, tmp_path / "out", command="test")
        blank.append(0)
        before = (tmp_path / "out/index.json").read_bytes()
        assert render(PLAN, tmp_path / "out", command="again") == first == RenderReport(15, 15, first.rejected)
        assert first.rejected.total() == 5  # one a scene
        assert (tmp_path / "out/index.json").read_bytes() == before

    def test_a_folder_cut_off_at_the_very_start_is_begun_anew(self, blank, tmp_path):
        (tmp_path / LOG).write_text('{"train": 1')
        assert render(PLAN, tmp_path, command="test").images == 15

    @pytest.mark.parametrize("finished", [False, True])
    @pytest.mark.parametrize(
        ("field", "other"), [("train", 11), ("test", 4), ("width", 64), ("height", 48), ("seed", 0)]
    )
    def test_another_plans_folder_is_refused_by_name(self, blank, tmp_path, finished, field, other):
        if not finished:
            blank.append(4)
            with pytest.raises(KeyboardInterrupt):
                render(PLAN, tmp_path, command="test")
        else:
            render(PLAN, tmp_path, command="test")
        plan = Plan(
            **{**{name: getattr(PLAN, name) for name in ("train", "test", "width", "height", "seed")}, field: other}
        )
        name = "index.json" if finished else LOG
        with pytest.raises(
            ValueError, match=f"{name}: {field} is {getattr(PLAN, field)}, expected {other}; give another"
        ):
            render(plan, tmp_path, command="test")

    def test_a_folder_with_something_else_is_refused(self, blank, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="holds something else; give a new folder"):
            render(PLAN, tmp_path, command="test")
        with pytest.raises(ValueError, match=r"notes.txt holds something else"):
            render(PLAN, tmp_path / "notes.txt", command="test")

    def test_anothers_index_is_refused(self, tmp_path):
        index = {"format": "psr rgbd", "format_version": 1, "min_depth": 0, "max_depth": 9}
        (tmp_path / "index.json").write_text(json.dumps({**index, "images": [], "train": [], "test": []}))
        with pytest.raises(ValueError, match="train is None, expected 10"):
            render(PLAN, tmp_path, command="test")


class TestPlan:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"train": -1}, "train is -1, expected 0 to 999999"),
            ({"train": 0, "test": 0}, "train and test are 0 and 0 images, expected 1 to 1000000"),
            ({"width": 15}, "width is 15, expected 16 to 2048"),
            ({"height": 4000}, "height is 4000, expected 16 to 2048"),
            ({"seed": -1}, "seed is -1, expected 0"),
        ],
    )
    def test_impossible_numbers_are_refused(self, fields, message):
        with pytest.raises(ValueError, match=message):
            Plan(**{"train": 1, "test": 1, **fields})

    def test_every_image_has_one_scene(self):
        jobs = list(PLAN.scenes())
        images = [job.first + i for job in jobs for i in range(job.count)]
        assert images == list(range(15))
        assert jobs[-1] == Job("test", 1, 14, 1)

    def test_a_third_of_the_scenes_is_a_robots(self, monkeypatch):
        monkeypatch.setattr(module, "random_views", lambda scene, rng, count, *rest: [scene] * count)
        monkeypatch.setattr(module, "random_room", lambda split, rng: "room")

        class Robots:
            def random_scene(self, split, rng):
                return "Lift", "robot"

        seen = [render_scene(PLAN, Job("train", number, 0, 1), Robots())[1][0] for number in range(30)]
        assert seen.count("robot") == 10

    def test_every_scene_has_random_numbers_of_its_own(self, monkeypatch):
        monkeypatch.setattr(module, "random_views", lambda scene, rng, count, *rest: [scene] * count)
        monkeypatch.setattr(module, "random_room", lambda split, rng: rng.random())
        jobs = [Job(split, number, 0, 1) for split in ("train", "test") for number in (0, 1, 3, 4)]
        plans = [Plan(1, 1, seed=seed) for seed in range(5)]
        numbers = [render_scene(plan, job, None)[1][0] for plan in plans for job in jobs]
        assert len(set(numbers)) == len(numbers) == 40


class TestRefusals:
    def test_no_worker(self, tmp_path):
        with pytest.raises(ValueError, match="workers is 0, expected at least 1"):
            render(PLAN, tmp_path / "out", workers=0, command="test")
        assert not (tmp_path / "out").exists()

    def test_nothing_draws(self, monkeypatch, tmp_path):
        monkeypatch.setattr(rendering_run, "choose_gl", lambda: GlReport("", False, "install libosmesa6"))
        with pytest.raises(OSError, match="nothing can be rendered: install libosmesa6"):
            render(PLAN, tmp_path / "out", command="test")

    def test_scenes_without_a_useful_view(self, monkeypatch, robots):
        given = []
        monkeypatch.setattr(module, "random_views", lambda *a: given.append(a) or [])
        with pytest.raises(ValueError, match="train scene 0: 5 scenes did not give 2 useful views of 48 x 36 pixels"):
            render_scene(PLAN, Job("train", 0, 0, 2), robots)
        assert len({a[0].xml for a in given}) == 5  # each another scene

"""From settings to an object in a catalogue: whole or stopped and continued, and refused before any work."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest
import trimesh

from psr_core.distillation.prior_folder import open_prior
from psr_core.files import file_sha256
from psr_mesh import builder
from psr_mesh.builder import Stopped, build_mesh, object_name
from psr_mesh.catalogue import read_catalogue
from psr_mesh.surface import SurfaceOptions
from psr_mesh.training import MeshTrainer
from tests.psr_core.distillation.tiny_priors import tiny_text_to_image
from tests.psr_mesh.tiny_meshes import small_settings


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


@pytest.fixture
def build(prior, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "FRAMES", 3)

    def build(name="cat", work="work", settings=None, **options):
        options = {"surface": SurfaceOptions(resolution=24, faces=300), **options}
        return build_mesh(settings or small_settings(), prior, tmp_path / work, tmp_path / "shelf", name, **options)

    return build


def stop_after(steps):
    asked = iter([False] * steps + [True])
    return lambda: next(asked)


def test_the_object_is_complete_listed_and_says_how_it_was_made(build, tmp_path):
    entry = build()
    assert [entry] == read_catalogue(tmp_path / "shelf")
    folder = tmp_path / "shelf/cat"
    assert trimesh.load(folder / "visual.obj", force="mesh").is_watertight or entry.statistics["surface"]["faces"] > 20
    assert cv2.imread(str(folder / "thumbnail.png")).shape == (256, 256, 3)
    assert cv2.VideoCapture(str(folder / "turntable.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    made = entry.made
    assert (made["prompt"], made["seed"], made["method"]) == ("a cat", 0, "dsd")
    assert made["steering"]["k"] == 1.0 and len(made["prior"]["weights_sha256"]) == 64
    assert made["model_calls"]["guided"] > 0 and made["peak_memory_mb"] > 50 and made["seconds"] >= 0
    assert json.loads((folder / "asset.json").read_text())["made"] == made


def test_stopped_and_continued_it_is_the_same_object(build, tmp_path):
    whole = build("whole")
    with pytest.raises(Stopped, match="stopped at iteration 2 of 4, and saved"):
        build("part", "other", should_stop=stop_after(2))
    assert not (tmp_path / "shelf/part").exists()
    part = build("part", "other")
    for file in ("visual.obj", "texture.png", "hull_00.obj"):
        assert file_sha256(tmp_path / "shelf/whole" / file) == file_sha256(tmp_path / "shelf/part" / file)
    assert whole.made["model_calls"] == part.made["model_calls"]


def test_stopped_after_the_last_iteration_the_rest_is_done_by_the_same_call(build, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(builder, "build_asset", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build()
    monkeypatch.setattr(MeshTrainer, "train_step", None)  # distilled already
    assert build().name == "cat"


def test_killed_before_it_was_listed_it_is_listed_by_the_same_call(build, tmp_path):
    entry = build()
    (tmp_path / "shelf/catalogue.json").unlink()
    assert build() == entry and read_catalogue(tmp_path / "shelf") == [entry]


def test_progress_tells_steps_time_previews_and_what_follows(build, tmp_path):
    told = []
    build(progress=told.append, preview_every=0.0)
    steps = [one for one in told if one.stage == "distillation"]
    assert [one.step for one in steps] == [0, 1, 2, 3]
    assert steps[0].seconds_left is None and steps[-1].seconds_left > 0
    assert steps[-1].preview.dtype == np.uint8 and steps[-1].preview.shape[1] == 4 * steps[-1].preview.shape[0]
    assert (tmp_path / "work/preview.png").is_file()
    assert [one.stage for one in told[4:]][0] == "turntable" and len(told) > 6


class TestRefusedBeforeAnyWork:
    @pytest.fixture(autouse=True)
    def no_work(self, monkeypatch):
        monkeypatch.setattr(MeshTrainer, "train_step", None)

    @pytest.mark.parametrize("name", ["", "../up", "A", "a b", "x" * 65])
    def test_a_name_that_is_no_folder(self, build, name):
        with pytest.raises(ValueError, match="name is"):
            build(name)

    def test_a_name_that_is_taken(self, build, tmp_path):
        (tmp_path / "shelf/cat").mkdir(parents=True)
        with pytest.raises(OSError, match="cat"):
            build()

    def test_a_catalogue_that_is_broken(self, build, tmp_path):
        (tmp_path / "shelf").mkdir()
        (tmp_path / "shelf/catalogue.json").write_text("{")
        with pytest.raises(ValueError, match="catalogue.json is not readable JSON"):
            build()

    @pytest.mark.parametrize("folder", ["shelf", "work"])
    def test_a_folder_that_is_a_file(self, build, tmp_path, folder):
        (tmp_path / folder).write_text("")
        with pytest.raises(OSError, match=folder):
            build()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
    def test_a_folder_that_cannot_be_written_to(self, build, tmp_path):
        (tmp_path / "shelf").mkdir(mode=0o500)
        with pytest.raises(OSError, match="cannot be written to"):
            build()


def test_another_object_of_that_name_stays(build, tmp_path):
    build()
    before = file_sha256(tmp_path / "shelf/cat/visual.obj")
    with pytest.raises(FileExistsError, match="is another object already; choose another name"):
        build(settings=small_settings(seed=9), work="other")
    assert file_sha256(tmp_path / "shelf/cat/visual.obj") == before


def test_a_run_is_not_continued_unasked_nor_with_other_settings(build):
    with pytest.raises(Stopped):
        build(should_stop=stop_after(1))
    with pytest.raises(FileExistsError, match="already holds a training run"):
        build(resume=False)
    with pytest.raises(ValueError, match="other settings: seed = 0, now 5"):
        build(settings=small_settings(seed=5))


@pytest.mark.parametrize(("prompt", "name"), [("A red chair!", "a_red_chair_3"), ("x" * 80, "x" * 50 + "_3")])
def test_a_name_follows_from_the_prompt(prompt, name):
    assert object_name(prompt, 3) == name and builder.NAME.fullmatch(name)

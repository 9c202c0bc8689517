"""The object of a row, a prompt and a seed: views, volume, cost, divergence, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core.distillation.prior_folder import open_prior
from psr_eval import mesh_runs
from psr_eval.kept import KeptResults
from psr_eval.mesh_rows import DSD, SDS, VIEW_ROWS
from psr_eval.mesh_runs import AZIMUTHS, ELEVATION, GREY, LAMP, VIEWS, Job, Setting, build_meshes, read_volume
from psr_eval.peak_memory import peak_mb, reset_peak
from psr_eval.picture_jobs import run_jobs
from psr_mesh import settings
from psr_mesh.previews import look
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_text_to_image
from tests.psr_mesh.tiny_meshes import SMALL


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


@pytest.fixture
def setting(prior, monkeypatch):
    monkeypatch.setitem(settings.PRESETS, "quick", SMALL)
    return Setting(prior, "digest", "quick", ("a cat", "a dog"), 12, "a blur")


def test_the_cameras_see_front_and_back_alike_often():
    assert VIEWS.count("front") == VIEWS.count("back") == 2 and VIEWS.count("side") == 4
    assert float(LAMP.towards.norm()) == pytest.approx(1)


class TestJob:
    def test_views_and_cost_within_the_calls(self, setting):
        told = []
        object.__setattr__(setting, "told", lambda *progress: told.append(progress))
        made = Job(setting, SDS, "a cat", 0).run()
        assert made.pictures.shape == (8, SIZE, SIZE, 3) and made.pictures.dtype == np.uint8
        assert made.calls == 12 == 2 * made.iterations and made.model >= made.calls and made.seconds > 0
        assert told[-1] == (6, 6) and made.peak_mb > 10 and made.problem == ""

    def test_it_follows_from_its_settings_alone(self, setting):
        one, same, other = (Job(setting, DSD, "a cat", seed).run().pictures.astype(int) for seed in (1, 1, 2))
        assert np.abs(one - same).max() <= 1 < np.abs(one - other).max()

    def test_rows_that_ask_for_the_same_have_the_same_object(self, setting, tmp_path):
        jobs = [Job(setting, row, "a cat", 0) for row in (DSD, *VIEW_ROWS)]
        assert len({job.path(tmp_path) for job in jobs}) == len(VIEW_ROWS)
        kept, made = KeptResults(tmp_path / "results.jsonl"), []
        results = run_jobs(jobs, kept, tmp_path, lambda done, total, name: made.append(done))
        assert max(made) == len(VIEW_ROWS) and len(results) == len(jobs)

    def test_the_volume_that_is_kept_looks_like_the_views(self, setting, tmp_path):
        job = Job(setting, SDS, "a cat", 0)
        figures = job.make(tmp_path)
        views = look(read_volume(job.volume_path(tmp_path)), AZIMUTHS, ELEVATION, SIZE, LAMP)
        assert np.abs(views.astype(int) - job.run().pictures).max() <= 1
        assert figures["finite"] == [True] and figures["views"] == 2

    def test_one_that_diverges_says_why_and_leaves_no_volume(self, setting, tmp_path, monkeypatch):
        monkeypatch.setattr(setting.prior, "noise", lambda x, *_, **__: torch.full_like(x, torch.nan))
        job = Job(setting, SDS, "a cat", 0)
        figures = job.make(tmp_path)
        assert figures["finite"] == [False] and "not finite" in figures["problem"]
        assert not job.volume_path(tmp_path).exists() and (job.run().pictures == GREY).all()


class TestMeshes:
    def test_each_is_built_once_and_dropped(self, setting, tmp_path, monkeypatch):
        kept, jobs = KeptResults(tmp_path / "results.jsonl"), [Job(setting, SDS, "a cat", 0)]
        results = run_jobs(jobs, kept, tmp_path, lambda *_: None)
        (first,) = build_meshes(results, kept, tmp_path, lambda *_: None)
        assert first["built"] and (tmp_path / "meshes" / jobs[0].name() / "object.xml").is_file()
        monkeypatch.setattr(mesh_runs, "build_asset", None)
        assert build_meshes(results, kept, tmp_path, lambda *_: None) == [first]


def test_the_peak_can_be_forgotten():
    cpu = torch.device("cpu")
    held = np.ones(40_000_000 // 8)
    high = peak_mb(cpu)
    del held
    reset_peak(cpu)
    assert 0 < peak_mb(cpu) <= high

"""Pictures of a row and a prompt: what they follow from, what diverges, what is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from psr_core.distillation import picture_training
from psr_core.distillation.prior_folder import open_prior
from psr_eval import distillation_2d
from psr_eval.distillation_2d import GREY, Job, Setting
from psr_eval.distillation_2d_rows import METHOD_ROWS, Row
from psr_eval.kept import KeptResults
from psr_eval.picture_jobs import run_jobs
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_text_to_image

ROWS = {row.name: row for row in METHOD_ROWS}


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    prior = open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()
    return Setting(prior, "digest", ("a cat", "a dog"), 3, 0, 20, "latent", "a blur", 3.0)


def job(setting, name="DSD", first=0, seeds=3):
    return Job(setting, ROWS[name], "a cat", first, seeds)


@pytest.mark.parametrize("name", ["DDIM", "DDPM", "SDS", "NFSD", "VSD", "DSD", "MSD, plain descent"])
def test_pictures_of_different_seeds_at_the_cost_that_was_counted(setting, name):
    made = job(setting, name).run()
    assert made.pictures.shape == (3, SIZE, SIZE, 3) and made.pictures.dtype == np.uint8
    assert made.finite == [True] * 3 and 0 < made.calls <= 20 and made.model >= made.calls and made.seconds > 0
    assert made.iterations == setting.steps(ROWS[name])
    assert np.ptp(made.pictures.astype(int), axis=0).max() > 0


@pytest.mark.parametrize("name", ["DDPM", "SDS", "DSD"])
def test_a_picture_follows_from_its_seed_alone(setting, name):
    together, alone = job(setting, name).run(), job(setting, name, first=2, seeds=1).run()
    assert np.abs(together.pictures[2].astype(int) - alone.pictures[0]).max() <= 1


def test_dsd_with_as_many_steps_as_its_grid_has_is_ddim_of_the_same_noise(setting):
    ten = Setting(setting.prior, "digest", ("a cat",), 2, 0, 27, "latent", "", 3.0)
    grid = Job(ten, Row("DSD", "dsd"), "a cat", 0, 2)
    assert ten.steps(grid.row) == 10
    ddim = Job(ten, ROWS["DDIM, 10 steps"], "a cat", 0, 2)
    assert np.abs(grid.run().pictures.astype(int) - ddim.run().pictures).max() <= 1


class TestDivergence:
    @pytest.fixture
    def lost(self, monkeypatch):
        """Pictures of seed 1 start from what is no number."""
        start = picture_training.noise_pictures

        def broken(shape, seeds):
            found = start(shape, seeds)
            found[seeds == 1] = torch.nan
            return found

        monkeypatch.setattr(picture_training, "noise_pictures", broken)

    def test_one_that_diverges_leaves_the_others_as_they_are(self, setting, lost, monkeypatch):
        made = job(setting, "SDS").run()
        monkeypatch.undo()
        assert made.finite == [True, False, True] and (made.pictures[1] == GREY).all()
        assert made.iterations == 20 and made.calls == 20
        whole = job(setting, "SDS").run()
        assert np.abs(made.pictures[[0, 2]].astype(int) - whole.pictures[[0, 2]]).max() <= 1

    def test_pictures_that_share_a_critic_diverge_together(self, setting, lost):
        made = job(setting, "VSD").run()
        assert made.finite == [False] * 3 and (made.pictures == GREY).all() and made.iterations == 0

    def test_when_all_do_there_is_still_a_result(self, setting, monkeypatch):
        monkeypatch.setattr(setting.prior, "noise", lambda x, *_: torch.full_like(x, torch.nan))
        for name in ("SDS", "DDIM"):
            assert job(setting, name).run().finite == [False] * 3


class TestKept:
    def test_a_second_run_makes_nothing_and_reads_the_same(self, setting, tmp_path, monkeypatch):
        jobs = [job(setting, name) for name in ("DDIM, 10 steps", "SDS")]
        first = run_jobs(jobs, KeptResults(tmp_path / "results.jsonl"), tmp_path, lambda *_: None)
        monkeypatch.setattr(distillation_2d.Job, "run", None)
        again = run_jobs(jobs, KeptResults(tmp_path / "results.jsonl"), tmp_path, lambda *_: None)
        for one, other in zip(first, again, strict=True):
            assert np.array_equal(one.pictures, other.pictures) and one.figures == other.figures

    def test_pictures_are_read_back_as_they_were_made(self, setting, tmp_path):
        (found,) = run_jobs([job(setting)], KeptResults(tmp_path / "results.jsonl"), tmp_path, lambda *_: None)
        assert np.array_equal(found.pictures, job(setting).run().pictures)

    def test_a_picture_that_is_gone_is_made_again(self, setting, tmp_path):
        kept, one, reported = KeptResults(tmp_path / "results.jsonl"), job(setting, "DDIM, 10 steps"), []
        run_jobs([one], kept, tmp_path, lambda *_: None)
        one.path(tmp_path).unlink()
        run_jobs([one], kept, tmp_path, lambda *told: reported.append(told))
        assert len(reported) == 2 and one.path(tmp_path).is_file()

    def test_other_settings_are_another_job(self, setting, tmp_path):
        jobs = [
            job(setting),
            job(setting, first=3),
            job(setting, seeds=2),
            job(setting, "DSD, grid 50"),
            replace(job(setting), prompt="a dog"),
            job(replace(setting, calls=30)),
            job(replace(setting, picture="mlp")),
            job(replace(setting, weights="another")),
        ]
        assert len({str(one.settings()) for one in jobs}) == len({one.path(tmp_path) for one in jobs}) == len(jobs)

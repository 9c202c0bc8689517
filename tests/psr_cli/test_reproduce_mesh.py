"""`psr reproduce mesh` and `psr reproduce inversion` by command line alone, on tiny priors."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from psr_cli.main import main
from psr_core.object_prior.words import word_tokenizer
from psr_eval import distillation_2d, inversion, mesh_runs
from psr_eval.distillation_2d_rows import Row
from psr_mesh import settings
from tests.interruption import interrupt_after
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_multi_view, tiny_text_to_image
from tests.psr_mesh.tiny_meshes import SMALL
from tests.tiny_pipelines import tiny_clip

FIXED = "reproduce mesh --calls 8 --prompts 'a cat' 'a dog' 'a hat'"
PICTURES = {"objects_1_a-cat.png", "objects_2_a-dog.png", "objects_3_a-hat.png"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"prior": tiny_text_to_image(folder / "sd"), "clip": tiny_clip(folder / "clip")}


@pytest.fixture
def reproduce(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(settings.PRESETS, "quick", {**SMALL, "options": {"grid": 2}})
    monkeypatch.setattr("psr_cli.reproduce_mesh.REFERENCES", 1)
    monkeypatch.setattr(distillation_2d, "REFERENCE", Row("DDIM", "ddim", (("steps", 2),)))
    return lambda options="": main(shlex.split(f"{FIXED} --prior {folders['prior']} {options}"))


def table(folder):
    return json.loads((folder / "table.json").read_text())


def test_methods_with_fidelity_diversity_and_cost(reproduce, folders, tmp_path):
    some = "--methods sds vsd nfsd --rows methods"
    assert reproduce(f"--clip {folders['clip']} {some} --out out") == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == PICTURES | {"table.md", "table.json", "results.jsonl", "pictures", "volumes"}
    rows = {row["row"]["name"]: row for row in table(tmp_path / "out")["rows"]}
    assert set(rows) == {"SDS", "VSD", "NFSD"}
    for row in rows.values():
        assert 0 < row["calls"] <= 8 and row["seconds"] > 0 and row["peak_mb"] > 0 and row["diverged"] == 0
        assert all(row[metric][1] <= row[metric][0] <= row[metric][2] for metric in ("text", "frechet", "diversity"))
        assert row["repeated_front"] is None
    assert "DDIM's pictures of such views" in (tmp_path / "out" / "table.md").read_text()


def test_without_clip_pixels_alone_are_compared_and_meshes_only_if_asked(reproduce, tmp_path, monkeypatch):
    built = {"problem": "", "graspable": True, "built": True}
    monkeypatch.setattr(mesh_runs, "build_meshes", lambda results, *_: [built] * len(results))
    for options in ("--meshes", ""):
        assert reproduce(f"--methods sds --rows methods --out out {options}") == 0
        (row,) = table(tmp_path / "out")["rows"]
        assert row["text"] is None and row["pixel_diversity"] is not None
        assert (row["lies_still"] is not None) == bool(options)


def test_interrupted_it_goes_on_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    some = "--methods sds --rows methods"
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        assert reproduce(f"{some} --out out") == 130
    assert "interrupted: out keeps what was made; the same command goes on" in capsys.readouterr().err
    ran, run = [], mesh_runs.Job.run
    with monkeypatch.context() as patch:
        patch.setattr(mesh_runs.Job, "run", lambda job: ran.append(job.row.name) or run(job))
        assert reproduce(f"{some} --out out") == 0
        assert len(ran) == 2
        assert reproduce(f"{some} --out anew") == 0
    costs = ("seconds", "peak_mb")
    one, anew = (
        [{key: value for key, value in row.items() if key not in costs} for row in table(tmp_path / out)["rows"]]
        for out in ("out", "anew")
    )
    assert one == anew


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ("--prompts 'a cat' 'a dog'", "--prompts has 2 different texts, expected 3 or more"),
            ("--seeds 1", "--seeds is 1, expected 2 or more"),
            ("--calls 1 --methods sds", "1 calls are too few for SDS"),
            ("--rows views --methods sds", "no row of views is of sds"),
            ("--clip nowhere", "--clip FOLDER is nowhere, and it is not there"),
            ("--dtype float16", "dtype is float16 and device is cpu"),
        ],
    )
    def test_before_any_work(self, reproduce, tmp_path, capsys, options, named):
        assert reproduce(f"{options} --out out") == 2
        assert named in capsys.readouterr().err and not (tmp_path / "out").exists()

    def test_a_prior_of_another_kind(self, tmp_path, capsys):
        assert main(shlex.split(f"{FIXED} --prior {tiny_multi_view(tmp_path / 'views')}")) == 2
        assert "is a multi-view model, expected a text-to-image one" in capsys.readouterr().err

    def test_view_words_that_the_prior_does_not_know(self, tmp_path, capsys):
        prior = tiny_text_to_image(tmp_path / "few")
        word_tokenizer(["a", "cat", "dog", "hat"]).save_pretrained(prior / "tokenizer")
        assert main(shlex.split(f"{FIXED} --prior {prior} --methods dsd --out {tmp_path / 'out'}")) == 2
        assert "does not know" in capsys.readouterr().err and not (tmp_path / "out").exists()


class TestInversion:
    @pytest.fixture
    def invert(self, folders, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        def views(kind, number, seed, azimuths, size):
            return np.random.default_rng([len(kind), number]).integers(0, 255, (len(azimuths), SIZE, SIZE, 3), np.uint8)

        monkeypatch.setattr(inversion, "rendered_views", views)
        fixed = f"reproduce inversion --prior {folders['prior']} --views 3 --steps 2 --out out"
        return lambda options="--kinds mug chair": main(shlex.split(f"{fixed} {options}"))

    def test_cosines_tests_and_a_map(self, invert, tmp_path):
        assert invert() == 0
        found = table(tmp_path / "out")
        assert (
            set(found["cosines"]["noises"]) == {"object", "kind", "others"} and 0 < found["p"]["noises"]["object"] <= 1
        )
        assert (tmp_path / "out" / "noises.png").stat().st_size > 1000
        assert "Noises of views of the same object are" in (tmp_path / "out" / "table.md").read_text()

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ("--kinds mug", "--kinds has 1 kind, expected 2 or more"),
            ("--kinds mug spoon", "--kinds has spoon, expected some of: mug, bowl"),
            ("--kinds mug chair --objects 1", "--objects is 1, expected 2 or more"),
        ],
    )
    def test_refused_before_any_work(self, invert, tmp_path, capsys, options, named):
        assert invert(options) == 2
        assert named in capsys.readouterr().err and not (tmp_path / "out").exists()

"""`psr reproduce distillation-2d` by command line alone: what it writes, keeps, goes on with and refuses."""

from __future__ import annotations

import json
import shlex
import shutil

import numpy as np
import pytest

from psr_cli.main import main
from psr_core.object_prior.words import word_tokenizer
from psr_eval import distillation_2d
from psr_eval.image_files import read_pixels
from tests.interruption import interrupt_after
from tests.psr_core.distillation.tiny_priors import change_json, tiny_multi_view, tiny_text_to_image
from tests.tiny_pipelines import tiny_clip

FIXED = "reproduce distillation-2d --calls 12 --seeds 2 --prompts 'a cat' 'a dog' 'a hat'"
PICTURES = {"pictures_1_a-cat.png", "pictures_2_a-dog.png", "pictures_3_a-hat.png"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"prior": tiny_text_to_image(folder / "sd"), "clip": tiny_clip(folder / "clip")}


@pytest.fixture
def reproduce(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda options="": main(shlex.split(f"{FIXED} --prior {folders['prior']} {options}"))


def table(folder):
    return json.loads((folder / "table.json").read_text())


def figures(folder):
    found = table(folder)["rows"]
    for row in found:
        del row["seconds"]
    return found


def test_methods_and_samplers_with_fidelity_diversity_and_cost(reproduce, folders, tmp_path):
    assert reproduce(f"--clip {folders['clip']} --methods ddim sds nfsd dsd --out out") == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == PICTURES | {"table.md", "table.json", "diversity.png", "results.jsonl", "pictures"}
    rows = {row["row"]["name"]: row for row in table(tmp_path / "out")["rows"]}
    assert {"DDIM", "DDIM, 10 steps", "SDS", "NFSD", "DSD", "DSD, as published", "DSD, k = 2, σ = 0.3"} <= set(rows)
    assert rows["SDS"]["calls"] == rows["SDS"]["iterations"] == 12 and rows["SDS"]["diverged"] == 0
    for row in rows.values():
        assert 0 < row["calls"] <= 12 and row["seconds"] > 0
        assert all(row[metric][1] <= row[metric][0] <= row[metric][2] for metric in ("text", "frechet", "diversity"))
    assert rows["DDIM"]["to_ddim"] is None and rows["DSD"]["pixels_to_ddim"][0] < rows["SDS"]["pixels_to_ddim"][0]
    text = (tmp_path / "out" / "table.md").read_text()
    for heading in ("most diverse", "What does DSD cost", "where DDIM does", "steering do", "Every row"):
        assert heading in text
    assert "24 pictures that DDIM made from other noises" in text and "Not the papers' figures" in text


def test_without_clip_pixels_alone_are_compared(reproduce, tmp_path):
    assert reproduce("--methods sds dsd --out out") == 0
    (tmp_path / "out" / "diversity.png").touch()
    assert reproduce("--methods sds dsd --out out") == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "Fidelity was not measured (--clip)" in text and not (tmp_path / "out" / "diversity.png").exists()
    assert table(tmp_path / "out")["rows"][0]["text"] is None


def test_ladder_and_other_kinds_of_picture(reproduce, tmp_path):
    assert reproduce("--rows ladder --methods sds sdi --picture mlp --out out") == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "From SDS to SDI, step by step" in text and "most diverse" not in text and "optimised: mlp" in text


def test_interrupted_it_goes_on_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    some = "--methods ddim sds"
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        assert reproduce(f"{some} --out out") == 130
    assert "interrupted: out keeps what was made; the same command goes on" in capsys.readouterr().err
    ran, run = [], distillation_2d.Job.run
    with monkeypatch.context() as patch:
        patch.setattr(distillation_2d.Job, "run", lambda job: ran.append(job.row.name) or run(job))
        assert reproduce(f"{some} --out out") == 0
    assert len(ran) == 12 - 4
    assert reproduce(f"{some} --out anew") == 0
    assert figures(tmp_path / "out") == figures(tmp_path / "anew")
    for one in (tmp_path / "anew" / "pictures").iterdir():
        assert np.array_equal(read_pixels(one), read_pixels(tmp_path / "out" / "pictures" / one.name))


def test_results_of_other_settings_are_not_taken_for_the_same(reproduce, tmp_path):
    assert reproduce("--methods sds --out out") == 0
    assert reproduce("--methods sds --out out --calls 6") == 0
    assert table(tmp_path / "out")["rows"][0]["iterations"] == 6
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 12


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ("--prompts 'a cat' 'a dog' 'a dog'", "--prompts has 2 different texts, expected 3 or more"),
            ("--prompts 'a cat' 'a dog' ' '", "prompt is empty"),
            ("--negative ''", "negative prompt is empty"),
            ("--seeds 1", "--seeds is 1, expected 2 or more"),
            ("--reach 0", "--reach is 0.0, expected a number > 0"),
            ("--seed -1", "--seed is -1, expected 0 or more"),
            ("--calls 0", "--calls is 0, expected 1 or more"),
            ("--calls 19 --methods msd", "19 calls are too few for MSD; one iteration costs 20"),
            ("--rows inversion_steps --methods vsd", "no row of inversion_steps is of vsd"),
            ("--clip nowhere", "--clip FOLDER is nowhere, and it is not there"),
            ("--real nowhere", "--real is given without --clip"),
            ("--dtype float16", "dtype is float16 and device is cpu"),
            ("--size 17", "size is 17 pixels, expected a multiple of 2"),
        ],
    )
    def test_before_any_work(self, reproduce, tmp_path, capsys, options, named):
        assert reproduce(f"{options} --out out") == 2
        assert named in capsys.readouterr().err and not (tmp_path / "out").exists()

    @pytest.mark.parametrize("options", ["--methods gan", "--rows all", "--picture voxels"])
    def test_unknown_names_by_the_command_line(self, reproduce, options, capsys):
        with pytest.raises(SystemExit):
            reproduce(options)
        assert "invalid choice" in capsys.readouterr().err

    def test_real_pictures_that_are_not_there(self, reproduce, folders, capsys):
        assert reproduce(f"--clip {folders['clip']} --real nowhere --methods ddim --out out") == 2
        assert "folder of real pictures nowhere does not exist" in capsys.readouterr().err

    def test_a_clip_folder_that_cannot_be_read(self, reproduce, folders, tmp_path, capsys):
        broken = tiny_clip(tmp_path / "broken")
        change_json(broken / "config.json", projection_dim=7)
        assert reproduce(f"--clip {broken} --methods ddim --out out") == 2
        assert "broken" in capsys.readouterr().err and not (tmp_path / "out").exists()

    def test_a_prior_of_another_kind(self, tmp_path, monkeypatch, capsys):
        prior = tiny_multi_view(tmp_path / "views")
        assert main(shlex.split(f"{FIXED} --prior {prior}")) == 2
        assert "is a multi-view model, expected a text-to-image one" in capsys.readouterr().err


class TestFewWords:
    @pytest.fixture
    def prior(self, tmp_path):
        folder = tiny_text_to_image(tmp_path / "few")
        shutil.rmtree(folder / "tokenizer")
        word_tokenizer(["a", "cat", "dog", "hat"]).save_pretrained(folder / "tokenizer")
        return folder

    def test_unknown_ones_are_refused(self, prior, capsys):
        assert main(shlex.split(f"{FIXED} --prior {prior} --prompts 'a cat' 'a dog' 'a bird'")) == 2
        assert "says 'bird', which this model does not know; it knows: a cat dog hat" in capsys.readouterr().err

    def test_nfsd_is_left_out_unless_it_is_told_what_no_picture_should_be(self, prior, tmp_path, capsys):
        out = tmp_path / "out"
        assert main(shlex.split(f"{FIXED} --prior {prior} --methods sds nfsd --out {out}")) == 0
        assert [row["row"]["name"] for row in table(out)["rows"]] == ["SDS", "SDS, guidance 101"]
        assert "NFSD is left out" in (out / "table.md").read_text() and "NFSD is left out" in capsys.readouterr().err
        assert main(shlex.split(f"{FIXED} --prior {prior} --methods sds nfsd --negative 'a hat' --out {out}")) == 0
        assert [row["row"]["name"] for row in table(out)["rows"]] == ["SDS", "SDS, guidance 101", "NFSD"]

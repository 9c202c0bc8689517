"""`psr reproduce distillation-toy` by command line alone: what it writes, keeps, goes on with and refuses."""

from __future__ import annotations

import json
import shlex

import pytest

from psr_cli.main import main
from psr_eval import distillation_toy
from tests.interruption import interrupt_after

FIXED = "reproduce distillation-toy --particles 16 --calls 24 --training-steps 3"
WRITTEN = {"table.md", "table.json", "samples.png", "landscapes.png", "results.jsonl"}


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("psr_eval.distillation_toy.PLACES", 8)
    monkeypatch.setattr("psr_eval.distillation_toy.REPEATS", 3)
    return lambda options="": main(shlex.split(f"{FIXED} {options}"))


def table(folder):
    return json.loads((folder / "table.json").read_text())


def without_time(folder):
    found = table(folder)
    for case in found["cases"]:
        for row in case["rows"]:
            del row["seconds"]
    return found


def test_every_method_and_prior_on_one_density(reproduce, tmp_path):
    assert reproduce("--data pinwheel --priors exact samples learned --out out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN | {"prior_pinwheel_3_0"}
    found = table(tmp_path / "out")
    assert [case["prior"] for case in found["cases"]] == ["exact", "samples", "learned"]
    for case in found["cases"]:
        rows = {row["row"]["name"]: row for row in case["rows"]}
        assert all(row["calls"] <= 24 for row in rows.values()) and rows["truth"]["calls"] == 0
        assert rows["SDS"]["calls"] == rows["SDS"]["iterations"] == 24
        assert {row["row"]["method"] for row in rows.values()} >= {"ddim", "sds", "sdi", "dsd", "msd", "vsd"}
        assert rows["SDS"]["log_efficiency"] and rows["DSD, k = 2, σ = 0.5"]["row"]["steering"]["k"] == 2
    assert [len(case["landscapes"]) for case in found["cases"]] == [6, 0, 0]
    text = (tmp_path / "out" / "table.md").read_text()
    for heading in ("more faithful", "most diverse", "DDIM", "efficient", "iteration cost", "minima", "steering"):
        assert heading in text


def test_interrupted_it_goes_on_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    some = "--data spiral --priors exact --methods sds dsd ddim"
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        assert reproduce(f"{some} --out out") == 130
    assert "interrupted: out keeps what was computed; the same command goes on" in capsys.readouterr().err
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4
    ran = []
    run = distillation_toy.Cell.run
    with monkeypatch.context() as patch:
        patch.setattr(distillation_toy.Cell, "run", lambda job: ran.append(job.row.name) or run(job))
        assert reproduce(f"{some} --out out") == 0
    assert "truth" not in ran and "DSD" in ran
    assert reproduce(f"{some} --out anew --workers 1") == 0
    assert without_time(tmp_path / "out") == without_time(tmp_path / "anew")


def test_a_finished_folder_is_only_reported_again(reproduce, tmp_path, monkeypatch):
    assert reproduce("--data spiral --priors exact --methods sds --out out") == 0
    before = table(tmp_path / "out")
    monkeypatch.setattr(distillation_toy.Cell, "run", None)
    assert reproduce("--data spiral --priors exact --methods sds --out out") == 0
    assert table(tmp_path / "out") == before


def test_one_method_alone_leaves_out_what_cannot_be_asked(reproduce, tmp_path):
    assert reproduce("--data pinwheel --priors exact --methods msd --out out --seed 3") == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "SDS" not in text.split("## Every row")[0].split("### What does an iteration cost?")[1]
    assert "more faithful" not in text and "most diverse" not in text and "steering do" not in text


def test_more_samples_an_iteration_where_the_calls_can_pay_one(reproduce, tmp_path):
    assert reproduce("--data pinwheel --priors exact --methods msd --calls 40 --out out") == 0
    names = [row["row"]["name"] for row in table(tmp_path / "out")["cases"][0]["rows"]]
    assert "MSD, plain descent, 2 samples" in names and "MSD, plain descent, 4 samples" not in names


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--particles 15", "--particles is 15, expected 16 or more"),
        ("--calls 0", "--calls is 0, expected 1 or more"),
        ("--calls 1001", "--calls is 1001, expected at most 1000"),
        ("--calls 19", "19 calls are too few for MSD; one iteration costs 20"),
        ("--workers 0", "--workers is 0, expected 1 or more"),
        ("--training-steps 0", "--training-steps is 0, expected 1 or more"),
        ("--seed -1", "seed is -1, expected an integer >= 0"),
    ],
)
def test_wrong_options_are_refused_before_any_work(reproduce, tmp_path, capsys, options, named):
    assert reproduce(f"{options} --out out") == 2
    assert named in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["--data galaxy", "--methods gan", "--priors oracle"])
def test_unknown_names_are_refused_by_the_command_line(reproduce, options, capsys):
    with pytest.raises(SystemExit):
        reproduce(options)
    assert "invalid choice" in capsys.readouterr().err

"""`psr reproduce depth` by command line alone, on a tiny random Marigold and made-up rooms."""

from __future__ import annotations

import json
import shlex

import pytest

from psr_cli.main import main
from tests.interruption import interrupt_after
from tests.psr_eval.depth_rooms import write_test_rooms
from tests.tiny_pipelines import tiny_marigold

ROWS = """
rows:
  - {sampler: ddim}
  - {sampler: ddim, ensemble: 2}
  - {sampler: ddpm, steering: {method: nns, k: 2}}
  - {sampler: ddim, steering: {k: [0.7, 2.0], sigma: 1.0}}
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_marigold(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture
def reproduce(weights, tmp_path, monkeypatch):
    """Runs `psr reproduce depth` in a folder of its own that holds rows.yaml, rooms and tiny; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(ROWS)
    (tmp_path / "tiny").symlink_to(weights)
    write_test_rooms(tmp_path / "rooms")
    fixed = "reproduce depth --checkpoint tiny --data rooms --rows rows.yaml --steps 2 --out out"
    return lambda options="": main(shlex.split(f"{fixed} {options}"))


def test_writes_the_table_and_the_pictures(reproduce, tmp_path, capsys):
    assert reproduce("--images 2 --processing-resolution 8 --seed 3") == 0
    captured = capsys.readouterr()
    assert "10/10 estimates, 0 s left" in captured.err
    assert "warning: num_inference_steps = 2" in captured.err
    assert "Does PSR with the best of 2 settings at ensemble 1 beat DDIM at ensemble 1? Not told" in captured.out
    report = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (report["images"], report["settings"]["images_there"]) == (2, 4)
    shared = ("num_inference_steps", "processing_resolution", "seed", "device", "dtype")
    assert [report["settings"][name] for name in shared] == [2, 8, 3, "cpu", "float32"]
    assert len({row["metrics"]["abs_rel"] for row in report["rows"]}) == 5
    for name in ("heatmap.png", "pictures.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000


def test_goes_on_where_it_was_interrupted_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    (tmp_path / "rows.yaml").write_text("rows: [{sampler: ddim}, {sampler: ddpm}]")
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        assert reproduce("--images 2") == 130
    assert "interrupted: out keeps what was measured" in capsys.readouterr().err
    assert not (tmp_path / "out" / "table.md").exists()
    assert reproduce("--images 2") == 0
    assert "1 estimates to go" in capsys.readouterr().err
    table = (tmp_path / "out" / "table.json").read_text()
    assert reproduce("--images 2 --out anew") == 0
    assert (tmp_path / "anew" / "table.json").read_text() == table


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--rows none.yaml", "settings none.yaml do not exist; give a YAML file like config/reproduce/depth.yaml"),
        ("--data nowhere", "nowhere/index.json is missing: not a folder of RGB-D images"),
        ("--benchmark nyuv3 --list list.txt", "data set is 'nyuv3', expected one of: nyuv2"),
        ("--benchmark nyuv2", "--benchmark nyuv2 needs --list"),
        ("--images 5", "--images is 5, expected 2 (one for each half) to 4"),
        ("--checkpoint nowhere", "checkpoint folder nowhere does not exist"),
        ("--checkpoint rooms", "checkpoint folder rooms holds no model_index.json; expected a Marigold depth pipeline"),
        ("--steps 0", "num_inference_steps is 0, expected a whole number from 1"),
        ("--batch-size 0", "batch_size is 0, expected a whole number from 1"),
        ("--dtype int8", "dtype is 'int8', expected one of: float32"),
        ("--processing-resolution 7", "processing_resolution is 7, expected 0 (the image's own) or a multiple of 2"),
    ],
)
def test_errors_are_one_line_before_anything_is_measured(reproduce, tmp_path, capsys, options, told):
    assert reproduce(options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("psr: error: ")
    assert told in last
    assert not (tmp_path / "out").exists()


def test_a_data_set_of_one_image_is_refused(reproduce, tmp_path, capsys):
    path = tmp_path / "rooms" / "index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "test": index["test"][:1]}))
    assert reproduce() == 2
    assert "the data set has 1 test image(s), expected 2 or more" in capsys.readouterr().err


def test_another_pipeline_is_refused(reproduce, tmp_path, weights, capsys):
    (tmp_path / "other").mkdir()
    index = json.loads((weights / "model_index.json").read_text())
    (tmp_path / "other" / "model_index.json").write_text(json.dumps({**index, "_class_name": "FluxPipeline"}))
    assert reproduce("--checkpoint other") == 2
    assert "checkpoint other is a FluxPipeline; expected a Marigold depth pipeline" in capsys.readouterr().err

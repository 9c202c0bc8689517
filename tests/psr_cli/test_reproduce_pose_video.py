"""`psr reproduce pose-video` by command line alone, on a tiny random network."""

from __future__ import annotations

import json
import shlex

import pytest

from psr_cli.main import main
from psr_perception.pose.checkpoint import save_pose_network
from tests.interruption import interrupt_after
from tests.psr_perception.pose.small_networks import random_network

ROWS = "rows: [{num_inference_steps: 2, samples: 20}, {num_inference_steps: 2, samples: 20, noise: stamp}]"


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs the command in a folder of its own that holds rows.yaml and network; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(ROWS)
    save_pose_network(tmp_path / "network", random_network(), {})
    fixed = "reproduce pose-video --checkpoint network --rows rows.yaml --shapes cube cone --frames 3 --out out"
    return lambda options="": main(shlex.split(f"{fixed} {options}"))


def test_writes_table_pictures_and_video(reproduce, tmp_path, capsys):
    assert reproduce("--step 3 --seed 2") == 0
    captured = capsys.readouterr()
    assert "12/12 frames, 0 s left" in captured.err
    assert "unsteered, 2 steps, 20 samples, stamp noise: does the published pose jump by a symmetry?" in captured.out
    report = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (report["settings"]["step"], report["settings"]["seed"], report["settings"]["frames"]) == (3, 2, 3)
    assert report["settings"]["checkpoint"].startswith("network@")
    assert [row["shape"] for row in report["rows"]] == [None, "cube", "cone"] * 2
    for name in ("jumps.png", "frames.png", "video.mp4"):
        assert (tmp_path / "out" / name).stat().st_size > 5_000


def test_goes_on_where_it_was_interrupted_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    small = "--shapes cube --frames 2"
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        assert reproduce(small) == 130
    assert "interrupted: out keeps what was finished" in capsys.readouterr().err
    assert not (tmp_path / "out" / "table.md").exists()
    assert reproduce(small) == 0
    assert "2 frames to go" in capsys.readouterr().err
    table = (tmp_path / "out" / "table.json").read_text()
    assert reproduce(f"{small} --out anew") == 0
    assert (tmp_path / "anew" / "table.json").read_text() == table


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--rows none.yaml", "settings none.yaml do not exist; give a YAML file like config/reproduce/pose_video.yaml"),
        ("--checkpoint nowhere", "no pose folder at nowhere"),
        ("--shapes ball", "shapes has 'ball', expected some of: tetrahedron"),
        ("--frames 1", "frames is 1, expected 2 or more"),
        ("--step 0", "step is 0.0, expected degrees a frame above 0, 10 at most"),
        ("--seed -1", "seed is -1, expected a whole number from 0"),
        ("--threads 0", "threads is 0, expected 1 or more"),
        ("--device tpu0", "device is 'tpu0', expected cpu, cuda"),
    ],
)
def test_errors_are_one_line_before_anything_is_estimated(reproduce, tmp_path, capsys, options, told):
    assert reproduce(options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("psr: error: ")
    assert told in last
    assert not (tmp_path / "out").exists()

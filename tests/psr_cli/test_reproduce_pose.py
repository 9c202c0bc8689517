"""`psr reproduce pose` and `rotations` by command line alone, on a tiny random network."""

from __future__ import annotations

import json
import shlex

import pytest
import torch

from psr_cli.main import main
from psr_perception.pose.checkpoint import save_pose_network
from psr_perception.pose.network import PoseConfig, PoseNetwork
from tests.interruption import interrupt_after
from tests.psr_perception.pose.symsol_copy import write_symsol

ROWS = """
rows:
  - {steps: [2, 1]}
  - {steps: 2, steering: {method: nns, k: 2}}
  - {steps: 2, steering: {k: [2, 7], sigma: 0.5}}
  - {steps: 1, steering: {k: 7, sigma: 0.5}}
  - {steps: 2, indexing: upstream}
"""


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs `psr reproduce pose` in a folder of its own that holds rows.yaml and network; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(ROWS)
    torch.manual_seed(0)
    network = PoseNetwork(PoseConfig(8, (8,), (1,), 2, 8, 8))
    torch.nn.init.normal_(network.head.out.weight)
    save_pose_network(tmp_path / "network", network, {})
    fixed = "reproduce pose --checkpoint network --rows rows.yaml --shapes cube cone --images 4 --out out"
    return lambda options="": main(shlex.split(f"{fixed} {options}"))


def test_writes_the_tables_and_the_pictures(reproduce, tmp_path, capsys):
    assert reproduce("--seed 3 --samples 2 --batch-size 3") == 0
    captured = capsys.readouterr()
    assert "24/24 network calls, 0 s left" in captured.err  # two batches
    assert "Does the best of 2 PSR settings of 2 steps beat score sampling, 2 steps? Not told" in captured.out
    report = json.loads((tmp_path / "out" / "table.json").read_text())
    assert (report["images"], report["samples"], report["settings"]["seed"]) == (4, 2, 3)
    assert report["settings"]["checkpoint"].startswith("network@")
    assert len({row["scores"]["error"]["mean"] for row in report["rows"]}) == 7
    assert set(report["rows"][0]["shapes"]) == {"cube", "cone"}
    assert "## cone, 2 images" in (tmp_path / "out" / "shapes.md").read_text()
    for name in ("spheres.png", "sweep.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000


def test_measures_on_a_copy_of_symsol(reproduce, tmp_path):
    write_symsol(tmp_path / "symsol")
    assert reproduce("--symsol symsol") == 0
    settings = json.loads((tmp_path / "out" / "table.json").read_text())["settings"]
    assert "symsol_sha256" in settings and "data_seed" not in settings


def test_goes_on_where_it_was_interrupted_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    (tmp_path / "rows.yaml").write_text("rows: [{steps: 2}, {steps: 1}]")
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        assert reproduce("--batch-size 2") == 130
    assert "interrupted: out keeps what was measured" in capsys.readouterr().err
    assert not (tmp_path / "out" / "table.md").exists()
    assert reproduce("--batch-size 2") == 0
    assert "1 network calls to go" in capsys.readouterr().err
    table = (tmp_path / "out" / "table.json").read_text()
    assert reproduce("--batch-size 2 --out anew") == 0
    assert (tmp_path / "anew" / "table.json").read_text() == table


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--rows none.yaml", "settings none.yaml do not exist; give a YAML file like config/reproduce/pose.yaml"),
        ("--checkpoint nowhere", "no pose folder at nowhere"),
        ("--shapes ball", "shapes has 'ball', expected some of: tetrahedron"),
        (
            "--symsol nowhere",
            "nowhere/test/rotations.npz is missing; expected symsol_dataset.zip unpacked into nowhere",
        ),
        ("--images 1", "images is 1, expected 2 or more"),
        ("--samples 0", "samples is 0, expected 1 or more"),
        ("--batch-size 0", "batch is 0, expected 1 or more"),
        ("--threads 0", "threads is 0, expected 1 or more"),
        ("--device tpu0", "device is 'tpu0', expected cpu, cuda"),
    ],
)
def test_errors_are_one_line_before_anything_is_measured(reproduce, tmp_path, capsys, options, told):
    assert reproduce(options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("psr: error: ")
    assert told in last
    assert not (tmp_path / "out").exists()


class TestRotations:
    @pytest.fixture
    def rotations(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return lambda options: main(shlex.split(f"reproduce rotations --out out --samples 20 --steps 2 {options}"))

    def test_writes_the_table(self, rotations, tmp_path, capsys):
        assert rotations("--spread 1 --k 4") == 0
        captured = capsys.readouterr()
        assert "12/12 settings" in captured.err
        assert "psr k=4 σ=0.5 cap, eta 0" in captured.out
        report = json.loads((tmp_path / "out" / "table.json").read_text())
        assert report["settings"] == {"error": 0.05, "samples": 20, "seed": 0, "symmetry": "cube", "spread_degrees": 1}
        assert report["modes"] == 24

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("--samples 0", "--samples is 0, expected 1 or more"),
            ("--steps 0", "steps is 0, expected at least 1"),
            ("--spread 0", "spread is 0.0 rad"),
            ("--symmetry cone.yaml", "cone.yaml has a continuous axis, expected a finite group"),
        ],
    )
    def test_errors_are_one_line(self, rotations, tmp_path, capsys, options, told):
        (tmp_path / "cone.yaml").write_text("{name: cone, continuous: [0, 0, 1]}")
        assert rotations(options) == 2
        assert told in capsys.readouterr().err.strip().splitlines()[-1]
        assert not (tmp_path / "out").exists()

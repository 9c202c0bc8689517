"""`psr reproduce toy`: what it writes, what it skips, what it refuses."""

from __future__ import annotations

import json

import pytest

from psr_cli import reproduce_toy
from psr_cli.main import main
from psr_core.mixtures import load_mixture
from psr_eval import toy

MIXTURE = """\
name: {name}
note: for a test
sigma: 0.2
modes:
  - {{weight: 0.5, mean: [-1, 0], std: 0.2}}
  - {{weight: 0.5, mean: [1, 0], std: 0.2}}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few and short cells; the real ones are the same with other numbers."""
    monkeypatch.setattr(toy, "STEPS", (2,))
    monkeypatch.setattr("psr_eval.toy_figures.STEPS", 3)


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(MIXTURE.format(name="own"))
    return path


def psr(*words):
    return main(["reproduce", "toy", *map(str, words)])


class TestOutputs:
    def test_figures_and_table_of_the_thesis(self, tmp_path, capsys):
        assert psr("--out", tmp_path / "out", "--samples", 100) == 0
        figures = {"fig_1_2.png", "fig_1_3.png", "fig_1_4.png", "fig_A_3.png", "fig_A_4.png"}
        written = {path.name for path in (tmp_path / "out").iterdir()}
        assert written == figures | {"table.json", "table.md", "cells.jsonl"}
        names = {
            cell["settings"]["mixture"] for cell in json.loads((tmp_path / "out" / "table.json").read_text())["cells"]
        }
        assert names == set(reproduce_toy.FIGURES)
        output = capsys.readouterr().out
        assert all(str(tmp_path / "out" / name) in output for name in figures | {"table.md"})

    @pytest.mark.parametrize(
        "only, names", [("figures", {"fig_own.png"}), ("table", {"table.json", "table.md", "cells.jsonl"})]
    )
    def test_only_makes_only_these(self, own, tmp_path, only, names):
        assert psr("--mixture", own, "--out", tmp_path / "out", "--samples", 50, "--only", only) == 0
        assert {path.name for path in (tmp_path / "out").iterdir()} == names

    def test_a_second_run_resumes_and_gives_the_same_table(self, own, tmp_path, monkeypatch):
        words = ["--mixture", own, "--out", tmp_path / "out", "--samples", 50, "--only", "table"]
        assert psr(*words) == 0
        table = (tmp_path / "out" / "table.json").read_bytes()
        monkeypatch.setattr(toy, "run_cell", lambda cell: pytest.fail(f"ran {cell}"))
        assert psr(*words) == 0
        assert (tmp_path / "out" / "table.json").read_bytes() == table


class TestRefusals:
    @pytest.mark.parametrize("option", ["--samples", "--workers"])
    def test_numbers_below_one(self, own, capsys, option):
        assert psr("--mixture", own, option, 0) == 2
        assert f"{option} is 0, expected 1 or more" in capsys.readouterr().err

    def test_a_missing_file(self, tmp_path, capsys):
        assert psr("--mixture", tmp_path / "none.yaml") == 2
        assert "none.yaml" in capsys.readouterr().err

    def test_a_mixture_of_another_dimension(self, tmp_path, capsys):
        path = tmp_path / "line.yaml"
        path.write_text("name: line\nnote: x\nsigma: 1\nmodes:\n  - {weight: 1, mean: [0], std: 1}\n")
        assert psr("--mixture", path, "--out", tmp_path / "out") == 2
        assert "mixture line has 1 dimensions, expected 2" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_two_mixtures_of_one_name(self, own, tmp_path, capsys):
        other = tmp_path / "other.yaml"
        other.write_text(MIXTURE.format(name="own"))
        assert psr("--mixture", own, other, "--out", tmp_path / "out") == 2
        assert "mixtures are named own, own, expected a name of its own for each" in capsys.readouterr().err


def test_every_shipped_mixture_is_two_dimensional_and_named_after_its_file():
    for path in reproduce_toy.shipped_mixtures():
        source = load_mixture(path)
        assert (source.name, source.mixture.dim) == (path.stem, 2)

"""Steering rotations of a known density: where it diverges and where it does not, and how that is told."""

from __future__ import annotations

import json
import math

import pytest

from psr_core.so3_mixtures import RotationMixture
from psr_eval.pose_mixture import as_markdown, chance, table, write_table
from psr_perception.pose.symmetry import load_symmetry
from tests.psr_eval.pose_oracle import SYMMETRIES, psr

SETTINGS = {"spread_degrees": 0.4, "error": 0.05, "samples": 120, "seed": 0}


@pytest.fixture(scope="module")
def mixture():
    return RotationMixture(load_symmetry(SYMMETRIES / "tetrahedron.yaml").elements, math.radians(0.4))


@pytest.fixture(scope="module")
def cells(mixture):
    return table(mixture, [10], psr(), samples=120, error=0.05)


def _cell(cells, cap, k=7.0, eta=0.0, indexing="correct"):
    (found,) = (
        cell
        for cell in cells
        if (cell.indexing, cell.found.eta, cell.found.steering.k, cell.found.steering.cap) == (indexing, eta, k, cap)
    )
    return found


@pytest.mark.parametrize("indexing", ["correct", "upstream"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ten_plain_steps_diverge_and_capped_ones_do_not(cells, indexing, eta):
    assert _cell(cells, False, eta=eta, indexing=indexing).diverged
    capped = _cell(cells, True, eta=eta, indexing=indexing)
    assert not capped.diverged and capped.found.modes_covered == 12
    assert capped.found.mean_error < _cell(cells, False, k=1.0, eta=eta, indexing=indexing).found.mean_error


def test_upstreams_levels_are_others(cells):
    assert _cell(cells, True, indexing="upstream").found != _cell(cells, True).found


def test_uniform_rotations_are_as_far_as_chance(mixture):
    assert chance(mixture) == pytest.approx(chance(mixture, 2000), rel=0.05)
    assert 30 < chance(mixture) < 90


def test_the_text_marks_what_diverged(cells, mixture):
    text = as_markdown(cells, mixture, SETTINGS)
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert lines[0][1:3] == ["k=1, eta 1", "k=1, eta 0"] and lines[0][-1] == "psr k=7 σ=0.5 cap, eta 0 |"
    for line in lines[1:]:
        assert [cell.startswith("**") for cell in line] == [False] * 3 + [True] * 2 + [False] * 2
    assert "Where nothing diverged, 12 or more of 12 modes are covered." in text


def test_json_has_every_cell(cells, mixture, tmp_path):
    paths = write_table(cells, mixture, SETTINGS, tmp_path / "deep")
    assert [path.name for path in paths] == ["table.json", "table.md"]
    report = json.loads(paths[0].read_text())
    assert len(report["cells"]) == len(cells) == 12
    assert (report["modes"], report["cells"][0]["steps"]) == (12, 10)

"""The toy table as Markdown and JSON."""

from __future__ import annotations

import json

import pytest
import torch

from psr_core.mixtures import GaussianMixture, NamedMixture
from psr_core.steering import Steering
from psr_eval.toy import Cell, ModeResult, run_cell
from psr_eval.toy_table import as_markdown, ratio_text, write_table


@pytest.fixture
def source():
    values = ([0.25, 0.75], [[-1.0, 0.0], [1.0, 0.0]], [[[0.01, 0.0], [0.0, 0.01]]] * 2)
    return NamedMixture(
        "two", "for a test", 0.1, GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in values))
    )


@pytest.fixture
def results(source):
    cells = [
        Cell(source, "exact", 10.0, None, 0, 200, 3),
        Cell(source, "ddim", 10.0, Steering(k=10.0, sigma=0.1), 5, 200, 3),
        Cell(source, "exact", 1.0, None, 0, 200, 3),
    ]
    return [run_cell(cell) for cell in cells]


def rows(markdown):
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class TestMarkdown:
    def test_has_a_part_for_each_k_and_a_row_for_each_cell(self, source, results):
        text = as_markdown([source], results)
        assert [line for line in text.splitlines() if line.startswith("###")] == ["### two, k = 10", "### two, k = 1"]
        table = rows(text)
        assert len({len(row) for row in table}) == 1
        assert [row[:2] for row in table[2:4]] == [["exact p̄_k", ""], ["PSR", "5"]]

    def test_shows_weights_ratios_and_lost(self, source, results):
        header, _, exact = rows(as_markdown([source], results))[:3]
        shown = dict(zip(header, exact, strict=True))
        first = results[0].modes[0]
        assert shown["weight 1"] == f"{first.weight:.4f} ± {first.weight_error:.4f}"
        assert shown["variance ratio 1"] == f"{first.trace_ratio:.3f} ± {first.trace_ratio_error:.3f}"
        assert shown["lost"] == "0"

    def test_says_how_it_was_drawn(self, source, results):
        assert "σ = 0.1, weights 0.25, 0.75; n = 200, seed 3, cosine levels" in as_markdown([source], results)

    @pytest.mark.parametrize(
        "ratio, error, text",
        [(None, None, "–"), (0.98765, 0.0123, "0.988 ± 0.012"), (123456.0, 789.0, "1.2e+05 ± 8e+02")],
    )
    def test_ratios_are_readable_at_any_size(self, ratio, error, text):
        assert ratio_text(ModeResult(5, 0.1, 0.01, None, None, ratio, error)) == text


def test_json_carries_every_setting(source, results, tmp_path):
    paths = write_table([source], results, tmp_path / "new")
    assert [path.name for path in paths] == ["table.json", "table.md"]
    content = json.loads(paths[0].read_text())
    cell = content["cells"][1]
    assert content["mixtures"] == [{"name": "two", "note": "for a test", "sigma": 0.1}]
    assert cell["settings"]["steering"] == Steering(k=10.0, sigma=0.1).to_dict()
    expected = {"mixture": "two", "sampler": "ddim", "steps": 5, "n": 200, "seed": 3, "levels": "cosine"}
    assert expected.items() <= cell["settings"].items()
    assert len(cell["modes"][0]["covariance"]) == 2
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"table.json", "table.md"}

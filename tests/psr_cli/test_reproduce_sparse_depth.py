"""`psr reproduce sparse-depth` by command line alone, on a tiny random Marigold and made-up rooms."""

from __future__ import annotations

import json
import shlex

import pytest

from psr_cli.main import main
from tests.interruption import interrupt_after
from tests.psr_eval.depth_rooms import write_test_rooms
from tests.tiny_pipelines import tiny_marigold


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_marigold(tmp_path / "tiny")
    write_test_rooms(tmp_path / "rooms")
    fixed = "reproduce sparse-depth --checkpoint tiny --data rooms --steps 2 --points 12"
    return lambda options="": main(shlex.split(f"{fixed} {options}"))


def test_interrupted_it_goes_on_and_ends_with_the_same_table(reproduce, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        assert reproduce("--images 2 --out out") == 130
    assert "interrupted: out keeps what was measured" in capsys.readouterr().err
    assert reproduce("--images 2 --out out") == 0 == reproduce("--images 2 --out anew")
    tables = [(tmp_path / folder / "table.json").read_text() for folder in ("out", "anew")]
    assert tables[0] == tables[1]
    table = json.loads(tables[0])
    assert (table["settings"]["images"], table["settings"]["points"]) == (2, 12)
    assert len({row["error"] for row in table["rows"]}) >= 3


def test_impossible_settings_are_refused_before_anything_is_loaded(reproduce, capsys):
    assert reproduce("--outliers 1") == 2
    assert "outliers is 1.0, expected" in capsys.readouterr().err

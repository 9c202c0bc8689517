import json

import pytest

from psr_cli.main import main
from psr_core.steering import Steering
from tests.psr_eval.conftest import Run, SyntheticBag, picture_of_nothing


@pytest.fixture
def folder(tmp_path):
    """A bag of three episodes, the first one filmed."""
    bag = SyntheticBag(tmp_path / "run", Run(steps=4))
    bag.play(1, picture=picture_of_nothing)
    bag.play(2, "failure")
    bag.play(3, "aborted", reason="cancelled")
    return bag.close()


def test_prints_the_table(folder, capsys):
    assert main(["bag", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "psr k=1 σ=1" in shown
    assert "1/2" in shown


def test_writes_what_was_asked_for(folder, tmp_path):
    arguments = ["--json", str(tmp_path / "a" / "s.json"), "--csv", str(tmp_path / "b" / "s.csv")]
    assert main(["bag", str(folder), *arguments]) == 0
    assert json.loads((tmp_path / "a" / "s.json").read_text())["groups"][0]["successes"] == 1
    assert "steering.k" in (tmp_path / "b" / "s.csv").read_text()


def test_out_holds_report_scores_and_video(folder, tmp_path, capsys):
    assert main(["bag", str(folder), "--out", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["episode.mp4", "report.html", "scores.csv", "scores.json"]
    assert str(tmp_path / "out" / "report.html") in capsys.readouterr().out


def test_a_chunk_under_the_wrong_steering_is_an_error(tmp_path, capsys):
    bag = SyntheticBag(tmp_path / "run")
    bag.turn("steering.k", 2.0)
    bag.chunk(0, Steering(), started=bag.now + 500_000)
    assert main(["bag", str(bag.close())]) == 1
    assert "DOES NOT CARRY IT" in capsys.readouterr().out


def test_a_missing_bag_is_one_line_on_stderr(tmp_path, capsys):
    assert main(["bag", str(tmp_path / "nothing")]) == 2
    assert "there is no bag" in capsys.readouterr().err


def test_a_cut_bag_is_counted_as_far_as_it_goes(folder, capsys):
    path = folder / "run_0.mcap"
    path.write_bytes(path.read_bytes()[:-2000])
    assert main(["bag", str(folder)]) == 0
    assert "run_0.mcap: the" in capsys.readouterr().out

"""`psr render`: what it asks for, what it says, and how it ends when it is interrupted."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from psr_cli.main import main
from sim.rendering_run import RenderReport
from sim.rgbd import render as module
from sim.rgbd.render import Plan
from sim.rgbd.views import NEAR, PLANE


@pytest.fixture
def psr(monkeypatch):
    """Runs `psr render` with these options; the plans and settings that it would have rendered."""
    asked = []

    def render(plan, out, *, workers, command, progress):
        asked.append((plan, out, workers, command))
        for images in (2, 4, plan.train + plan.test):
            progress(RenderReport(images, plan.train + plan.test, Counter()))
            if images in stops:
                raise KeyboardInterrupt
        return RenderReport(images, images, Counter({NEAR: 3, PLANE: 70}))

    def run(options="", stop=None):
        stops[:] = [stop]
        words = ["render", "--out", "pictures", *options.split()]
        monkeypatch.setattr(sys, "argv", ["psr", *words])
        return main(words)

    stops = []
    monkeypatch.setattr(module, "render", render)
    run.asked = asked
    return run


def test_the_usual_set(psr, capsys):
    assert psr() == 0
    assert psr.asked == [(Plan(8000, 400, 160, 120, 0), "pictures", 2, "psr render --out pictures")]
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "pictures: 8000 images for training, 400 for tests; 73 other views were rejected",
        f"      70  {PLANE}",
        f"       3  {NEAR}",
    ]
    assert "8398 images to go" in said.err  # two were there


def test_every_option(psr):
    assert psr("--train 5 --test 3 --width 64 --height 48 --seed 7 --workers 1") == 0
    assert psr.asked[0][:3] == (Plan(5, 3, 64, 48, 7), "pictures", 1)


def test_an_interruption_says_how_far_it_came(psr, capsys):
    assert psr("--train 9 --test 1", stop=4) == 130
    assert "interrupted: pictures holds 4 of 10 images; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--width 8", "width is 8, expected 16 to 2048"),
        ("--train -3", "train is -3"),
        ("--train 0 --test 0", "are 0 and"),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(psr, capsys, options, told):
    assert psr(options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert psr.asked == []


def test_another_folder_is_one_line_and_code_2(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["render", "--out", str(tmp_path), "--train", "1", "--test", "0"]) == 2
    assert "holds something else; give a new folder" in capsys.readouterr().err

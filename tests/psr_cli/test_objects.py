"""`psr objects`: what it asks for, what it says, and how it ends when it is interrupted."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from psr_cli.main import main
from sim.objects import render as module
from sim.objects.render import ObjectPlan
from sim.rendering_run import RenderReport


@pytest.fixture
def psr(monkeypatch):
    """Runs `psr objects` with these options; the plans that it would have rendered."""
    asked, stops = [], []

    def render(plan, out, *, workers, command, progress):
        asked.append((plan, out, workers, command))
        progress(RenderReport(2, plan.train + plan.test, Counter()))
        if stops:
            raise KeyboardInterrupt
        return RenderReport(plan.train + plan.test, plan.train + plan.test, Counter())

    def run(options="", stop=False):
        stops[:] = [True] * stop
        words = ["objects", "--out", "pictures", *options.split()]
        monkeypatch.setattr(sys, "argv", ["psr", *words])
        return main(words)

    monkeypatch.setattr(module, "render_objects", render)
    run.asked = asked
    return run


def test_options_make_the_plan(psr, capsys):
    assert psr() == 0
    assert psr.asked == [(ObjectPlan(24000, 1000, 64, 0), "pictures", 2, "psr objects --out pictures")]
    assert capsys.readouterr().out == "pictures: 24000 images for training, 1000 for tests\n"
    assert psr("--train 5 --test 3 --size 32 --seed 7 --workers 1") == 0
    assert psr.asked[1][:3] == (ObjectPlan(5, 3, 32, 7), "pictures", 1)


def test_an_interruption_says_how_far_it_came(psr, capsys):
    assert psr("--train 9 --test 1", stop=True) == 130
    assert "interrupted: pictures holds 2 of 10 images; the same command goes on" in capsys.readouterr().err


def test_a_wrong_option_is_one_line_and_code_2(psr, capsys):
    assert psr("--size 8") == 2
    assert "size is 8, expected 16 to 1024" in capsys.readouterr().err
    assert psr.asked == []

"""Success by integrator: resumed, paired, reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psr_core.steering import Steering
from psr_eval import integrator_success as module
from psr_eval.integrator_report import as_markdown, integrator_name, write_report
from psr_eval.integrator_success import episode_settings, run_success, success_plans, success_rows
from psr_eval.kept import KeptResults
from psr_eval.player import Outcome
from psr_eval.rollouts import RolloutPlan

SEEDS = range(100, 110)
PLANS = success_plans(RolloutPlan("Lift", Path("models/x")), [2.0], 0.1, [4])


@pytest.fixture
def ran(monkeypatch):
    """Episodes without a simulator: gaussian2 always succeeds, the others on even seeds. Lists (integrator, seed)."""
    ran = []

    def episodes(plan, seeds, workers, batch):
        for seed in seeds:
            ran.append((plan.steering.integrator, seed))
            yield Outcome(seed, plan.steering.integrator == "gaussian2" or seed % 2 == 0, 1.0, 40, [])

    monkeypatch.setattr(module, "run_episodes", episodes)
    return ran


def test_plans_have_every_integrator_for_each_k_and_number_of_calls():
    plans = success_plans(RolloutPlan("Lift", Path("x")), [1.0, 2.0], 0.1, [4, 8])
    assert len(set(plans)) == 2 * 2 * 3
    assert [plan.num_inference_steps for plan in plans] == [4] * 6 + [8] * 6


def test_rows_compare_with_plain_on_the_same_initial_states(ran, tmp_path):
    kept, lines = KeptResults(tmp_path / "cells.jsonl"), []
    run_success(PLANS, SEEDS, kept, 1, 1, lines.append)
    plain, gaussian, gaussian2 = success_rows(PLANS, SEEDS, kept)
    assert (plain["successes"], gaussian["successes"], gaussian2["successes"]) == (5, 5, 10)
    assert (gaussian2["pairs"], gaussian2["only_plain"], gaussian2["only_this"]) == (10, 0, 5)
    assert gaussian2["p"] == pytest.approx(2 * 0.5**5)
    assert gaussian["p"] == plain["p"] == 1.0
    assert gaussian2["wilson95"][1] == 1.0
    assert lines[-1].endswith("30/30 episodes, 20 successes, 0 s left")


def test_what_is_kept_is_not_run_again(ran, tmp_path):
    kept = KeptResults(tmp_path / "cells.jsonl")
    run_success(PLANS, SEEDS[:4], kept, 1, 1)
    ran.clear()
    run_success(PLANS, SEEDS[:5], KeptResults(tmp_path / "cells.jsonl"), 1, 1)
    assert ran == [(integrator, 104) for integrator in ("plain", "gaussian", "gaussian2")]


def test_rows_are_of_what_has_run(ran, tmp_path):
    kept = KeptResults(tmp_path / "cells.jsonl")
    assert success_rows(PLANS, SEEDS, kept) == []
    kept.add(episode_settings(PLANS[2], 101), {"success": True, "steps": 9, "reason": ""})
    (row,) = success_rows(PLANS, SEEDS, kept)
    assert (row["n"], row["pairs"], row["p"]) == (1, 0, 1.0)


def group(k: float, sigma: float) -> dict:
    summary = {"mean": 0.02, "std": 0.01, "n": 4}
    names = ("plain", "gaussian", "gaussian2")
    cells = [
        {"steering": Steering(k, sigma, "psr", name).to_dict(), "calls": calls}
        | dict.fromkeys(("fine", "whole", "same_start", "before_end"), summary)
        for name in names
        for calls in (4, 8)
    ]
    shared = dict.fromkeys(("fine_to_whole", "effect"), summary)
    return {"reference": Steering(k, sigma).to_dict(), **shared, "noise": None, "cells": cells}


def test_the_report_is_complete_and_can_be_read_back(ran, tmp_path):
    kept = KeptResults(tmp_path / "cells.jsonl")
    run_success(PLANS, SEEDS, kept, 1, 1)
    settings = {"checkpoint_id": "x@1", "observations": 2, "noises": 2, "refinement": 5}
    groups = [group(1, 0.1), group(2, 0.1)]
    report = {"settings": settings, "groups": groups, "success": success_rows(PLANS, SEEDS, kept)}
    paths = write_report(report, tmp_path / "out")
    assert [path.suffix for path in paths] == [".json", ".md", ".png", ".png"]
    assert json.loads(paths[0].read_text())["groups"] == report["groups"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[2:])
    lines = paths[1].read_text().splitlines()
    assert "| 2 | 0.1 | 4 | gaussian2 | 10/10 | 100.0% [72.2%, 100.0%] | 0 | 5 | 0.0625 |" in lines
    assert "| 1 | any | plain | 8 | " + " | ".join(["0.0200 ± 0.0100"] * 4) + " |" in lines
    # Every row of a table has as many cells as its heading.
    for before, line in zip(lines, lines[1:], strict=False):
        assert not (before.startswith("|") and line.startswith("|")) or before.count("|") == line.count("|")


def test_a_report_of_one_part_has_only_that():
    settings = {"checkpoint_id": "x@1", "observations": 2, "noises": 2, "refinement": 5}
    assert "## Success" not in as_markdown({"settings": settings, "groups": [group(2, 0.1)], "success": []})


def test_the_cap_is_named():
    assert integrator_name(Steering(cap=True)) == "plain, capped"

"""What steering adds to a step: the comparison is paired, complete, and finds a cost that is known."""

from __future__ import annotations

import json
import time

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from psr_cli.main import main
from psr_eval import bench_steering as module
from psr_eval.bench_steering import SAMPLES, STEPS, StepCost, bench_steering, step_costs

LABELS = {"psr k=2 σ=0.5", "psr k=2 σ=0.5 gaussian2", "nes k=2", "nns k=2"}


@pytest.mark.parametrize(
    ("scheduler", "impossible"), [(DDIMScheduler, "nns k=2"), (DDPMScheduler, "psr k=2 σ=0.5 gaussian2")]
)
def test_what_a_scheduler_cannot_take_is_left_out(scheduler, impossible):
    assert {cost.steering for cost in step_costs(scheduler, "epsilon", SAMPLES[0], 1)} == LABELS - {impossible}


def test_finds_the_cost_of_a_slower_step(monkeypatch):
    """Steered steps that wait a millisecond more cost a millisecond more."""

    def slow(stock, steering):
        class Slow(DDIMScheduler):
            def step(self, *args, **named):
                time.sleep(0.001)
                return super().step(*args, **named)

        return Slow.from_config(stock.config)

    monkeypatch.setattr(module, "steer", slow)
    for cost in step_costs(DDIMScheduler, "epsilon", SAMPLES[0], 2):
        assert 1000 < cost.added_p50 < 10_000
        assert cost.added_p5 <= cost.added_p50 <= cost.added_p95
        assert cost.share == pytest.approx(cost.added_p50 / 5000)
        assert cost.n == 2 * STEPS


def test_covers_schedulers_prediction_types_and_shapes(tmp_path, capsys):
    threads = torch.get_num_threads()
    assert main(["bench", "steering", "--repeats", "1", "--out", str(tmp_path / "steps.json")]) == 0
    torch.set_num_threads(threads)
    steps = json.loads((tmp_path / "steps.json").read_text())["steps"]
    assert len({(step["scheduler"], step["prediction_type"], tuple(step["shape"])) for step in steps}) == 4 * 2 * 2
    assert len(steps) == 4 * 2 * 2 * 3
    lines = capsys.readouterr().out.splitlines()
    assert "1 torch thread" in lines[0]
    assert len(lines) == 2 + len(steps)


@pytest.mark.parametrize("option", ["repeats", "threads"])
def test_none_is_refused(option):
    with pytest.raises(ValueError, match=f"{option} is 0, expected 1 or more"):
        bench_steering(**{option: 0})


def test_a_figure_is_plain_json():
    cost = StepCost("DDIMScheduler", "epsilon", "action chunk", (1, 16, 10), "psr k=2 σ=0.5", 16, 60.0, 9.0, 12.5, 30.0)
    assert json.loads(json.dumps(cost.to_dict()))["share_of_network_call"] == 0.0025

"""Timing of depth frames: the ways take turns, a known cost is found, bad numbers are refused."""

from __future__ import annotations

import json
import time

import pytest
import torch

from psr_cli.main import main
from psr_eval.bench_depth import bench_depth
from psr_perception.depth.estimator import DepthEstimator
from tests.tiny_pipelines import tiny_marigold


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_marigold(tmp_path_factory.mktemp("marigold"))


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_way_at_every_resolution(checkpoint, tmp_path, capsys):
    out = tmp_path / "depth.json"
    words = ["--checkpoint", str(checkpoint), "--resolutions", "16,32", "--steps", "1", "--repeats", "2"]
    assert main(["bench", "depth", *words, "--out", str(out)]) == 0
    timings = json.loads(out.read_text())["timings"]
    assert [timing["resolution"] for timing in timings] == [16] * 3 + [32] * 3
    ways = ["stock pipeline", "estimator, psr k=1 σ=1", "estimator, psr k=1.3 σ=10"]
    assert [timing["what"] for timing in timings] == ways * 2
    assert all(timing["n"] == 2 and 0 < timing["p50"] <= timing["p95"] for timing in timings)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(timings)


def test_finds_the_cost_of_a_slower_estimator(checkpoint, monkeypatch):
    estimate = DepthEstimator.estimate

    def slow(self, *args):
        time.sleep(0.3)
        return estimate(self, *args)

    monkeypatch.setattr(DepthEstimator, "estimate", slow)
    stock, plain, steered = bench_depth(checkpoint, [16], num_inference_steps=1, repeats=2)
    assert min(plain.p50, steered.p50) > 300
    assert min(plain.p50, steered.p50) > stock.p50


@pytest.mark.parametrize("name", ["repeats", "threads"])
def test_none_is_refused(checkpoint, name):
    with pytest.raises(ValueError, match=f"{name} is 0, expected 1 or more"):
        bench_depth(checkpoint, **{name: 0})

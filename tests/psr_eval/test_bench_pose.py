"""Timing of a pose frame: every part at every number of steps, a known cost is found, bad numbers are refused."""

from __future__ import annotations

import json
import time

import pytest
import torch

from psr_cli.main import main
from psr_eval import bench_pose as module
from psr_eval.bench_pose import PARTS, bench_pose
from psr_perception.pose.checkpoint import save_pose_network
from psr_perception.pose.estimator import PoseEstimator
from psr_perception.pose.symmetry import named_symmetry
from tests.psr_perception.pose.small_networks import random_network


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_part_at_every_number_of_steps(tmp_path, capsys):
    save_pose_network(tmp_path / "network", random_network(), {})
    words = ["--checkpoint", str(tmp_path / "network"), "--steps", "2,1", "--samples", "20", "--repeats", "2"]
    assert main(["bench", "pose", *words, "--out", str(tmp_path / "pose.json")]) == 0
    timings = json.loads((tmp_path / "pose.json").read_text())["timings"]
    assert [(timing["steps"], timing["what"]) for timing in timings] == [
        (steps, what) for steps in (2, 1) for what in (*PARTS, "frame")
    ]
    assert all(timing["n"] == 2 and 0 < timing["p5"] <= timing["p50"] <= timing["p95"] for timing in timings)
    sample = timings[1]
    assert sample["rate"] == pytest.approx(20 / sample["p50"] * 1000)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(timings)


def test_finds_which_part_takes_long(monkeypatch):
    find_modes = module.find_modes

    def slow(*args):
        time.sleep(0.3)
        return find_modes(*args)

    monkeypatch.setattr(module, "find_modes", slow)
    timings = {timing.what: timing for timing in bench_pose(random_network(), [1], 10, repeats=2)}
    assert timings["find_modes"].p5 > 300
    assert timings["frame"].p50 > 300


def test_does_what_the_estimator_does(monkeypatch):
    """The same samples, so that what is timed is what the node runs."""
    network, found = random_network(), []
    find_modes = module.find_modes

    def seen(rotations, *args):
        found.append(rotations)
        return find_modes(rotations, *args)

    monkeypatch.setattr(module, "find_modes", seen)
    bench_pose(network, [3], 10, repeats=1)
    settings = module.PoseSettings(3, samples=10)
    picture = module._image("cube", 1, network)[0].numpy()
    expected = PoseEstimator(network, named_symmetry("cube")).estimate(picture, settings, module.Steering(), 0)
    assert torch.equal(found[-1], expected.rotations)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"repeats": 0}, "repeats is 0, expected 1 or more"),
        ({"threads": 0}, "threads is 0, expected 1 or more"),
        ({"steps": [0]}, "num_inference_steps is 0, expected a whole number from 1"),
        ({"samples": 0}, "samples is 0, expected a whole number from 1"),
        ({"shape": "ball"}, "shape is 'ball', expected one of: tetrahedron"),
    ],
)
def test_what_cannot_be_is_refused(fields, told):
    with pytest.raises(ValueError, match=told):
        bench_pose(random_network(), **fields)

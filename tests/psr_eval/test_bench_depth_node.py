"""What the depth node adds to a frame: the node's own time is told, and a broken checkpoint is not waited for."""

from __future__ import annotations

import os

import pytest
import torch

from psr_eval.bench_depth_node import NodeTiming, bench_depth_node
from tests.tiny_pipelines import tiny_marigold


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_each_frame_goes_through_pipeline_and_node(ros_domain, tmp_path):
    checkpoint = tiny_marigold(tmp_path / "tiny")
    timing = bench_depth_node(checkpoint, os.environ, resolution=16, repeats=3)
    assert len(timing.pipeline) == len(timing.node) == len(timing.round_trip) == 3
    assert all(0 < node < trip for node, trip in zip(timing.node, timing.round_trip, strict=True))
    assert min(timing.pipeline) > 0


def test_overhead_is_of_the_medians():
    timing = NodeTiming(128, (100.0, 200.0, 900.0), (210.0, 1.0, 210.0), (0.0, 0.0, 0.0))
    assert timing.overhead == pytest.approx(0.05)

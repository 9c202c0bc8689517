"""The transport benchmark measures: images sent by one process arrive in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from psr_ros.transport_bench import bench_transport

PROFILE = Path(__file__).resolve().parents[2] / "config" / "fastdds_shm.xml"


@pytest.mark.parametrize("profile", [PROFILE, None], ids=["shipped", "default"])
def test_images_arrive(ros_domain, profile):
    timing = bench_transport("reliable", profile, images=5)
    assert 0 < timing.received <= timing.sent == 5  # depth 1: a busy receiver may skip one
    assert 0 < timing.p50 <= timing.p95

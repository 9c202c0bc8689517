"""The transport benchmark measures: images sent by one process arrive in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from psr_ros.transport_bench import bench_transport

PROFILE = Path(__file__).resolve().parents[2] / "config" / "fastdds_shm.xml"


@pytest.mark.parametrize("settings", [{"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)}, {}], ids=["shipped", "default"])
def test_images_arrive(ros_domain, settings):
    timing = bench_transport("reliable", settings, images=5)
    assert 0 < timing.received <= timing.sent == 5  # depth 1: a busy receiver may skip one
    assert 0 < timing.p50 <= timing.p95

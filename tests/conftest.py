"""What holds for every test: modest threads, the same examples every time, and a ROS domain of its own for a graph."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

# Two workers on two cores: more threads in each only get in each other's way. Set before torch and numpy are imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# rclpy wants a folder for its logs, and a machine without HOME has none.
os.environ.setdefault("ROS_LOG_DIR", str(Path(tempfile.gettempdir()) / f"psr_test_ros_logs_{os.getuid()}"))

import hypothesis  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = 100  # 1 to 100: above, the ports of a domain reach into the range that Linux hands out to anybody

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")

_taken = itertools.count()


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS domain (1 to 100) for this test and the processes it starts: this machine only, shipped DDS profile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    domain = 1 + (os.getpid() + 50 * worker + next(_taken)) % DOMAINS
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_shm.xml"))
    return domain


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts ROS nodes: tests with a ros_domain, and the modules that import rclpy."""
    for item in items:
        module = getattr(item, "module", None)
        if "ros_domain" in getattr(item, "fixturenames", ()) or hasattr(module, "rclpy"):
            item.add_marker(pytest.mark.ros)

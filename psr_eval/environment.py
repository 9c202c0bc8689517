"""What a measurement was made on: noted in every bag and printed in every report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "diffusers", "transformers", "numpy", "mujoco", "robosuite", "rclpy")


def environment() -> dict[str, str]:
    """Machine, operating system and versions, as text; what is not installed is left out. Names no user and no host."""
    facts = {
        "psr_suite": _version("psr_suite"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
        "rmw": os.environ.get("RMW_IMPLEMENTATION", ""),
    }
    facts |= {package: _version(package) for package in _PACKAGES}
    return {name: value for name, value in facts.items() if value}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())

"""The repository root as the ament_python package psr_suite (also what `pip install -e .` installs)."""

from collections import defaultdict
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
PACKAGE = "psr_suite"
SHARED_FOLDERS = ("launch", "config", "models")


def shared_files() -> list[tuple[str, list[str]]]:
    """Every file of the shared folders, each to its place under share/psr_suite, as setuptools' data_files wants it."""
    files = defaultdict(list)
    for folder in SHARED_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(ROOT)
                files[f"share/{PACKAGE}/{relative.parent.as_posix()}"].append(relative.as_posix())
    return sorted(files.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="ROS 2 nodes around steering (k, sigma) of diffusion models",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["psr_*", "sim", "sim.*"]),
    include_package_data=False,
    package_data={"": ["py.typed", "*.html", "*.js", "*.css"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared_files(),
    ],
    # What the nodes and tools need is pinned in requirements.lock and installed by `make setup`.
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "psr = psr_cli.main:main",
            "policy_node = psr_policy.node:main",
            "depth_node = psr_perception.depth.node:main",
            "pose_node = psr_perception.pose.node:main",
            "mesh_node = psr_mesh.node:main",
            "sim_bridge = sim.node:main",
            "recorder = psr_eval.recorder:main",
        ],
    },
)

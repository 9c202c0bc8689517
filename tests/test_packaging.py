"""The package as others install it: descriptions agree, nothing is left out, colcon builds it, ROS is optional."""

from __future__ import annotations

import ast
import distutils.core  # setuptools' own copy: reads setup.py without running a command
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatch
from pathlib import Path

import pytest
import setuptools  # noqa: F401  (makes `distutils` its copy)
import yaml

ROOT = Path(__file__).resolve().parents[1]
INTERFACES = ROOT / "ros2_ws" / "src" / "psr_interfaces"
NODES = {"depth_node", "mesh_node", "policy_node", "pose_node", "sim_bridge", "recorder"}

# The only modules that need a ROS installation, beside psr_ros; launch_description needs ROS's launch system.
ROS_SHELL = {
    "psr_cli.launch_description",
    "psr_eval.bench_depth_node",
    "psr_eval.recorder",
    "psr_mesh.node",
    "psr_mesh.outputs",
    "psr_perception.depth.jobs",
    "psr_perception.depth.node",
    "psr_perception.depth.outputs",
    "psr_perception.depth.parameters",
    "psr_perception.frame_job",
    "psr_perception.frame_node",
    "psr_perception.pose.detections",
    "psr_perception.pose.jobs",
    "psr_perception.pose.markers",
    "psr_perception.pose.node",
    "psr_perception.pose.outputs",
    "psr_policy.node",
    "sim.node",
    "sim.parameters",
    "sim.publishers",
    "sim.scene",
}
# Imports every module with ROS out of reach and prints the names of those that fail. The two left out are scripts.
WITHOUT_ROS = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("rclpy", "psr_interfaces", "builtin_interfaces", "ament_index_python") or top.endswith("_msgs"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoRos())
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages([package], package + "."):
        if module.name not in ("psr_cli.__main__", "psr_cli.tether"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                print("needs ROS:", module.name)
"""


@pytest.fixture(scope="module")
def setup():
    """What setup.py tells setuptools."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return distutils.core.run_setup("setup.py", stop_after="init")
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def scripts(setup):
    """Command -> "module:function"."""
    return dict(text.split(" = ") for text in setup.entry_points["console_scripts"])


def manifest(folder):
    return ElementTree.parse(folder / "package.xml").getroot()


def packages_on_disk():
    tops = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    return [path.parent for top in tops for path in top.rglob("__init__.py")]


class TestDescriptionsAgree:
    def test_name_and_version(self, setup):
        root = manifest(ROOT)
        assert (root.findtext("name"), root.findtext("version")) == (setup.get_name(), setup.get_version())

    def test_the_messages_have_the_suites_version(self):
        assert manifest(INTERFACES).findtext("version") == manifest(ROOT).findtext("version")

    def test_licence(self, setup):
        names = {manifest(ROOT).findtext("license"), manifest(INTERFACES).findtext("license"), setup.get_license()}
        assert names == {"Apache-2.0"}
        assert "Apache License" in (ROOT / "LICENSE").read_text()

    def test_colcon_builds_the_messages_before_the_suite(self):
        assert "psr_interfaces" in {element.text for element in manifest(ROOT).iter("exec_depend")}

    def test_the_workspace_leads_to_the_suite(self):
        assert (ROOT / "ros2_ws" / "src" / "psr_suite").resolve() == ROOT


class TestNothingIsLeftOut:
    def test_every_package(self, setup):
        on_disk = {path.relative_to(ROOT).as_posix().replace("/", ".") for path in packages_on_disk()}
        assert set(setup.packages) == on_disk
        assert {"psr_core", "psr_cli", "sim"} <= on_disk

    def test_every_file_in_a_package_that_is_not_python(self, setup):
        patterns = setup.package_data[""]
        others = [
            path
            for folder in packages_on_disk()
            for path in folder.iterdir()
            if path.is_file() and path.suffix not in (".py", ".pyc")
        ]
        assert [path for path in others if not any(fnmatch(path.name, pattern) for pattern in patterns)] == []

    def test_every_shared_file_in_its_place(self, setup):
        installed = {
            f"{place}/{Path(source).name}": (ROOT / source).resolve()
            for place, sources in setup.data_files
            for source in sources
        }
        shared = [
            path for name in ("launch", "config", "models") for path in (ROOT / name).rglob("*") if path.is_file()
        ]
        for path in (path for path in shared if "__pycache__" not in path.parts):
            assert installed[f"share/psr_suite/{path.relative_to(ROOT).as_posix()}"] == path
        assert installed["share/psr_suite/package.xml"] == ROOT / "package.xml"
        assert "share/ament_index/resource_index/packages/psr_suite" in installed

    def test_every_command_has_its_function(self, scripts):
        assert set(scripts) == {"psr", *NODES}
        for target in scripts.values():
            module, function = target.split(":")
            tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, target

    def test_graphs_start_the_same_modules_as_the_commands(self, scripts):
        graphs = [yaml.safe_load(path.read_text()) for path in (ROOT / "config").glob("*.yaml")]
        nodes = [node for graph in graphs for node in graph.get("nodes", [])]
        assert {node["executable"] for node in nodes} == NODES
        for node in nodes:
            assert scripts[node["executable"]].split(":")[0] == node["module"]


@pytest.mark.slow
def test_only_the_ros_shell_needs_ros(setup):
    packages = sorted({name.partition(".")[0] for name in setup.packages} - {"psr_ros"})
    command = [sys.executable, "-c", WITHOUT_ROS, *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    need_ros = {line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("needs ROS: ")}
    assert need_ros <= ROS_SHELL
    assert "sim.node" in need_ros  # the modules were really tried


@pytest.mark.slow
def test_colcon_builds_the_workspace(tmp_path):
    colcon = Path(sys.prefix) / "bin" / "colcon"
    if not colcon.exists() or " " in sys.prefix:
        pytest.skip("colcon is not installed, or in a path with a space, which its setup files do not take")
    prefixes = {"AMENT_PREFIX_PATH": sys.prefix, "CMAKE_PREFIX_PATH": sys.prefix}
    environment = {**os.environ, **prefixes, "PATH": f"{colcon.parent}{os.pathsep}{os.environ['PATH']}"}
    fix = f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'tools' / 'drop_missing_includes.cmake'}"
    bases = [f"--{name}-base={tmp_path / name}" for name in ("build", "install")]
    command = [
        str(colcon),
        f"--log-base={tmp_path / 'log'}",
        "build",
        *bases,
        "--cmake-args",
        fix,
        "-DBUILD_TESTING=OFF",
    ]
    done = subprocess.run(command, cwd=ROOT / "ros2_ws", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    suite = tmp_path / "install" / "psr_suite"
    assert {path.name for path in (suite / "lib" / "psr_suite").iterdir()} == {"psr", *NODES}
    for name in ("package.xml", "launch/sim.launch.py", "config/sim.yaml", "config/fastdds_shm.xml"):
        assert (suite / "share" / "psr_suite" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (suite / "share" / "ament_index" / "resource_index" / "packages" / "psr_suite").exists()

    # What was installed runs, away from the source tree, with nothing but the workspace's own environment.
    show = f". {tmp_path}/install/setup.bash && {suite}/lib/psr_suite/psr up sim --show-args"
    clean = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(["bash", "-c", show], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
    assert str(suite / "share" / "psr_suite" / "models") in shown.stdout

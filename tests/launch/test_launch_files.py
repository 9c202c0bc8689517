"""`ros2 launch` and `psr up` start the same graph.

The first class needs no launch packages: small stand-ins record what the launch files say. The second runs the launch
files with the real packages where they are installed (a full ROS 2), and programs in the place of the nodes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from psr_cli.graph import Plan, load_graph

ROOT = Path(__file__).parents[2]
GRAPHS = ["mesh", "robot", "sim"]
# Not the defaults, of every type.
VALUES = {
    "k": "2",
    "num_inference_steps": "8",
    "record": "true",
    "depth": "true",
    "pose": "true",
    "bag": "/tmp/12",
    "noise_seed": "3",
    "device": "cuda:1",
}


def module_found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def execute(name: str) -> Any:
    """The LaunchDescription of launch/<name>.launch.py."""
    spec = importlib.util.spec_from_file_location(f"{name}_launch", ROOT / "launch" / f"{name}.launch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


class TestWithStandIns:
    @pytest.fixture(autouse=True)
    def _stand_ins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Recorded(SimpleNamespace):
            """Keeps the arguments it was made of."""

            def __init__(self, *positional: Any, **named: Any) -> None:
                super().__init__(positional=positional, **named)

        def module(name: str, *members: str) -> None:
            stand_in = ModuleType(name)
            for member in members:
                setattr(stand_in, member, type(member, (Recorded,), {}))
            monkeypatch.setitem(sys.modules, name, stand_in)

        module("launch", "LaunchDescription")
        module("launch.actions", "DeclareLaunchArgument", "OpaqueFunction", "Shutdown")
        module("launch_ros")
        module("launch_ros.actions", "Node")
        module("launch_ros.parameter_descriptions", "ParameterValue")
        monkeypatch.delitem(sys.modules, "psr_cli.launch_description", raising=False)

    @pytest.fixture(params=GRAPHS)
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_every_argument_is_declared(self, name: str) -> None:
        _, *declared, _ = execute(name).positional[0]
        graph = load_graph(name)
        assert [each.positional[0] for each in declared] == [argument.name for argument in graph.arguments]
        for each, argument in zip(declared, graph.arguments, strict=True):
            assert (each.default_value, each.description) == (argument.default, argument.description)
            assert each.choices == (list(argument.choices) or None)
            assert each.description and (each.choices is None or each.default_value in each.choices)

    def start(self, name: str, values: dict[str, str]) -> list[Any]:
        """The nodes that launch would start: the entities one after the other, as it does."""
        note, *declared, start = execute(name).positional[0]
        context = SimpleNamespace(launch_configurations=dict(values), environment={})
        note.function(context, *note.args)
        for each in declared:
            context.launch_configurations.setdefault(each.positional[0], each.default_value)
        nodes: list[Any] = start.function(context, *start.args)
        return nodes

    @pytest.mark.parametrize("given", [False, True], ids=["defaults", "given"])
    def test_the_nodes_are_those_of_psr_up(self, name: str, given: bool) -> None:
        known = [argument.name for argument in load_graph(name).arguments]
        values = {argument: value for argument, value in VALUES.items() if given and argument in known}
        nodes = self.start(name, values)
        plan = load_graph(name).resolve(values)
        assert [(each.name, each.executable) for each in nodes] == [(each.name, each.executable) for each in plan.nodes]
        for launched, node in zip(nodes, plan.nodes, strict=True):
            (parameters,) = launched.parameters
            bare = {
                key: value.positional[0] if isinstance(value, SimpleNamespace) else value
                for key, value in parameters.items()
            }
            assert bare == node.parameters
            assert dict(launched.remappings) == node.remappings
            assert launched.additional_env == plan.environment
            assert launched.package == "psr_suite"
            assert type(launched.on_exit).__name__ == "Shutdown", "one death stops the graph, as in psr up"

    @pytest.mark.parametrize("name", ["robot", "sim"])
    def test_a_parameter_file_replaces_defaults_and_nothing_that_was_given(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "policy.yaml"
        file.write_text("/policy: {ros__parameters: {steering.k: 3.0, steering.sigma: 0.3}}")
        # k is given as what happens to be its default.
        nodes = self.start(name, {"policy_parameters": str(file), "k": "1.0"})
        policy = next(node for node in nodes if node.name == "policy").parameters[0]
        assert (policy["steering.k"], policy["steering.sigma"]) == (1.0, 0.3)

    def test_text_is_marked_as_text(self) -> None:
        nodes = self.start("sim", {})
        for value in (value for node in nodes for value in node.parameters[0].values()):
            assert isinstance(value, (bool, int, float)) or value.value_type is str


class TestInstalledPrograms:
    def test_every_executable_runs_the_module_that_psr_up_runs(self) -> None:
        scripts = dict(
            line.strip(' ",').split(" = ") for line in (ROOT / "setup.py").read_text().splitlines() if ":main" in line
        )
        everything = {"record": "true", "depth": "true", "pose": "true"}
        plans = [load_graph(name).resolve({} if name == "mesh" else everything) for name in GRAPHS]
        for node in (node for plan in plans for node in plan.nodes):
            assert scripts[node.executable] == f"{node.module}:main"


PROGRAM = """#!{python}
import json, os, sys, time, yaml
files = [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "--params-file"]
parameters = {{}}
for file in files:
    for section in yaml.safe_load(open(file)).values():
        parameters.update(section["ros__parameters"])
seen = dict(argv=sys.argv[1:], parameters=parameters, profile=os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE"))
json.dump(seen, open(os.path.join({place!r}, os.path.basename(sys.argv[0]) + ".json"), "w"))
print("seen", flush=True)
while len([f for f in os.listdir({place!r}) if f.endswith(".json")]) < {count}:
    time.sleep(0.05)
"""
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *words = sys.argv[1:]
service = LaunchService(argv=words)
arguments = [tuple(word.split(":=")) for word in words]
source = PythonLaunchDescriptionSource(file)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


@pytest.mark.skipif(
    not (module_found("launch.actions") and module_found("launch_ros.actions")), reason="needs launch and launch_ros"
)
class TestWithLaunch:
    def launch(self, place: Path, name: str, plan: Plan, values: dict[str, str]) -> dict[str, Any]:
        """What each executable was started with."""
        programs, index = place / "lib" / "psr_suite", place / "share" / "ament_index" / "resource_index" / "packages"
        programs.mkdir(parents=True)
        index.mkdir(parents=True)
        (index / "psr_suite").touch()
        for node in plan.nodes:
            program = programs / node.executable
            program.write_text(PROGRAM.format(python=sys.executable, place=str(place), count=len(plan.nodes)))
            program.chmod(0o755)
        environment = {key: value for key, value in os.environ.items() if key != "FASTRTPS_DEFAULT_PROFILES_FILE"}
        environment["AMENT_PREFIX_PATH"] = f"{place}:{environment.get('AMENT_PREFIX_PATH', '')}"
        environment["PYTHONPATH"] = f"{environment.get('PYTHONPATH', '')}:{ROOT}"
        environment["ROS_LOG_DIR"] = str(place / "log")
        subprocess.run(
            [sys.executable, "-c", LAUNCH, str(ROOT / "launch" / f"{name}.launch.py"), *map(":=".join, values.items())],
            env=environment,
            check=True,
            timeout=60,
        )
        return {node.executable: json.loads((place / f"{node.executable}.json").read_text()) for node in plan.nodes}

    @pytest.mark.parametrize("name", GRAPHS)
    def test_the_processes_are_those_of_psr_up(self, name: str, tmp_path: Path) -> None:
        plan = load_graph(name).resolve(VALUES)
        seen = self.launch(tmp_path, name, plan, VALUES)
        for node in plan.nodes:
            started = seen[node.executable]
            assert (
                started["parameters"]
                == yaml.safe_load(node.write_parameters(tmp_path).read_text())["/**"]["ros__parameters"]
            )
            rules = {rule for word, rule in zip(started["argv"], started["argv"][1:], strict=False) if word == "-r"}
            assert rules == {f"__node:={node.name}", *(f"{old}:={new}" for old, new in node.remappings.items())}
            assert started["profile"] == plan.environment["FASTRTPS_DEFAULT_PROFILES_FILE"]

"""Graph files: reading, substitution, and what the shipped ones hold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml

from psr_cli.graph import Graph, describe_arguments, graph_names, load_graph, parse_assignments, suite_root
from psr_core import suite_folder

EXAMPLE = """
description: an example
arguments:
  speed: {default: 1.0, description: how fast}
  steps: {default: 3, description: how many}
  label: {default: "", description: what to call it}
  mode: {default: a, choices: [a, b], description: which}
  loud: {default: false, description: whether}
  file: {default: $(config)/x.yaml, type: path, description: where}
presets: {mode: {b: {speed: 4.0, file: $(config)/y.yaml}}, loud: {true: {label: LOUD}}}
environment: {PROFILE: $(config)/p.xml}
nodes:
  - name: first
    module: package.node
    executable: first_node
    parameters:
      speed: $(speed)
      steps: $(steps)
      label: $(label)
      nested.text: $(mode)-$(steps)-$(loud)
      list: [1.5, $(speed)]
    remappings: {/in: /$(mode)/in}
  - {name: second, module: package.other, executable: other_node, if: $(loud), parameters: {file: $(file)}}
"""


@pytest.fixture
def example(tmp_path: Path) -> Graph:
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLE)
    return load_graph(str(path))


def write(tmp_path: Path, old: str, new: str) -> str:
    path = tmp_path / "broken.yaml"
    assert old in EXAMPLE
    path.write_text(EXAMPLE.replace(old, new))
    return str(path)


class TestResolving:
    def test_a_parameter_that_is_one_argument_keeps_its_type(self, example: Graph) -> None:
        parameters = example.resolve({"speed": "2", "steps": "5", "label": "7"}).nodes[0].parameters
        assert parameters["speed"] == 2.0 and type(parameters["speed"]) is float
        assert parameters["steps"] == 5 and type(parameters["steps"]) is int
        assert parameters["label"] == "7"
        assert parameters["list"] == [1.5, 2.0]

    def test_arguments_inside_a_text_become_text(self, example: Graph) -> None:
        node = example.resolve({"mode": "b"}).nodes[0]
        assert node.parameters["nested.text"] == "b-3-false"
        assert node.remappings == {"/in": "/b/in"}

    def test_a_node_can_be_left_out(self, example: Graph) -> None:
        assert [node.name for node in example.resolve({}).nodes] == ["first"]
        assert [node.name for node in example.resolve({"loud": "true"}).nodes] == ["first", "second"]

    def test_paths_are_absolute(self, example: Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def file(**values: str) -> object:
            return example.resolve({"loud": "true", **values}).nodes[1].parameters["file"]

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", "/home/someone")
        assert file() == str(suite_root() / "config" / "x.yaml")
        assert file(file="here/x") == str(tmp_path / "here" / "x")
        assert file(file="~/x") == "/home/someone/x"
        assert file(file="") == ""

    def test_a_preset_goes_with_a_value(self, example: Graph) -> None:
        def chosen(**values: str) -> dict[str, object]:
            first, *others = example.resolve(values).nodes
            return {**first.parameters, **(others[0].parameters if others else {})}

        assert chosen()["speed"] == 1.0
        assert chosen(mode="b")["speed"] == 4.0
        assert chosen(mode="b", speed="5")["speed"] == 5.0  # what is given counts
        assert chosen(mode="b", loud="true")["file"] == str(suite_root() / "config" / "y.yaml")
        assert chosen(mode="b", loud="true")["label"] == "LOUD"

    def test_a_variable_that_is_set_stays(self, example: Graph) -> None:
        plan = example.resolve({})
        assert plan.missing_environment({}) == {"PROFILE": str(suite_root() / "config" / "p.xml")}
        assert plan.missing_environment({"PROFILE": "mine"}) == {}

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"sped": "1"}, "graph example has no argument 'sped'; did you mean speed"),
            ({"xyzzy": "1"}, "there are: file, label, loud, mode, speed, steps"),
            ({"speed": "fast"}, "argument speed: 'fast' is not a float"),
            ({"steps": "1.5"}, "argument steps: '1.5' is not a int"),
            ({"mode": "c"}, "argument mode: 'c' is not one of: a, b"),
            ({"loud": "yes"}, "argument loud: 'yes' is not one of: true, false"),
        ],
    )
    def test_a_wrong_value_is_named(self, example: Graph, values: dict[str, str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            example.resolve(values)


class TestParameterFile:
    """`first` takes parameters from a file, through the arguments they stand for."""

    @pytest.fixture
    def resolve(self, tmp_path: Path):
        """resolve("yaml of the parameters", **arguments): the first node's parameters."""
        text = EXAMPLE.replace("executable: first_node", "executable: first_node\n    parameter_file: $(file)")
        (tmp_path / "graph.yaml").write_text(text.replace("$(config)/x.yaml", '""').replace("list:", "fixed: true #"))
        file = tmp_path / "mine.yaml"

        def resolve(content: str, **values: str) -> dict[str, object]:
            file.write_text(f"/first: {{ros__parameters: {{{content}}}}}")
            graph = load_graph(str(tmp_path / "graph.yaml"))
            return graph.resolve({"file": str(file), **values}).nodes[0].parameters

        return resolve

    def test_it_replaces_defaults(self, resolve) -> None:
        read = resolve("speed: 2, label: '7'")
        assert (read["speed"], read["label"], read["steps"]) == (2.0, "7", 3)
        assert type(read["speed"]) is float, "an argument's type is that of its default"

    @pytest.mark.parametrize("given", ["5", "3"], ids=["another", "the default"])
    def test_what_is_given_replaces_it(self, resolve, given: str) -> None:
        read = resolve("speed: 2, steps: 4", steps=given)
        assert (read["speed"], read["steps"]) == (2.0, int(given))

    def test_none_is_the_default(self, resolve) -> None:
        assert resolve("speed: 2", file="")["speed"] == 1.0

    def test_it_may_repeat_what_the_graph_fixes(self, resolve) -> None:
        assert resolve("fixed: true")["fixed"] is True

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("sped: 2", r"mine.yaml: sped is '2', but node first has no such parameter; did you mean speed"),
            ("fixed: false", r"mine.yaml: fixed is 'false', in graph graph always 'true'; remove it"),
            ("nested.text: b-3-false", r"mine.yaml: nested.text is 'b-3-false', in graph graph always '\$\(mode\)"),
            ("steps: 1.5", r"mine.yaml: steps is '1.5': argument steps: '1.5' is not a int"),
            ("label: [a, b]", r"mine.yaml: label is .*, expected one value"),
            ("label:", r"mine.yaml: label is 'None', expected one value"),
        ],
    )
    def test_what_it_cannot_set_is_named(self, resolve, content: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            resolve(content)

    @pytest.mark.parametrize("graph", ["robot", "sim"])
    def test_it_reaches_the_policy_of_the_shipped_graphs(self, graph: str, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text("/policy: {ros__parameters: {steering.k: 2.0, limits_margin: 0.3}}")
        plan = load_graph(graph).resolve({"policy_parameters": str(tmp_path / "p.yaml")})
        policy = next(node for node in plan.nodes if node.name == "policy")
        assert (policy.parameters["steering.k"], policy.parameters["limits_margin"]) == (2.0, 0.3)


class TestReading:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("module: package.node", "modul: package.node", "nodes: 'module' is missing"),
            ("remappings:", "remaps:", "nodes: unknown key 'remaps'"),
            ("environment:", "environ:", "unknown key 'environ'; did you mean environment"),
            ("default: 1.0, ", "", "argument speed: 'default' is missing"),
            ("type: path", "type: file", "argument file: type 'file', expected one of: str, int"),
            ("default: a,", "default: z,", "argument mode: 'z' is not one of: a, b"),
            ("{b: {speed", "{z: {speed", "argument mode: 'z' is not one of: a, b"),
            ("{speed: 4.0", "{sped: 4.0", "presets, mode, b: unknown key 'sped'; did you mean speed"),
            ("{speed: 4.0", "{speed: fast", "argument speed: 'fast' is not a float"),
            ("{mode: {b", "{mood: {b", "presets: unknown key 'mood'; did you mean mode"),
        ],
    )
    def test_a_wrong_entry_is_named(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            load_graph(write(tmp_path, old, new))

    def test_a_substitution_needs_an_argument(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"node first: \$\(sped\) names no argument; did you mean speed"):
            load_graph(write(tmp_path, "speed: $(speed)", "speed: $(sped)")).resolve({})

    def test_a_condition_must_be_true_or_false(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="node second: `if` is 'a', expected true or false"):
            load_graph(write(tmp_path, "if: $(loud)", "if: $(mode)")).resolve({})

    def test_an_absent_graph_is_answered_with_those_there_are(self) -> None:
        with pytest.raises(FileNotFoundError, match="no graph 'simulator' .* there are: mesh, robot, sim"):
            load_graph("simulator")


class TestNode:
    def test_the_parameter_file_is_ros_yaml(self, example: Graph, tmp_path: Path) -> None:
        node = example.resolve({"label": "1.0"}).nodes[0]
        content = yaml.safe_load(node.write_parameters(tmp_path).read_text())
        assert content == {"/**": {"ros__parameters": node.parameters}}

    def test_the_command_names_module_node_remappings_and_file(self, example: Graph, tmp_path: Path) -> None:
        command = example.resolve({}).nodes[0].command(tmp_path / "p.yaml")
        assert command[:4] == [sys.executable, "-m", "package.node", "--ros-args"]
        assert command[4:] == ["-r", "__node:=first", "-r", "/in:=/a/in", "--params-file", str(tmp_path / "p.yaml")]

    def test_ros_reads_the_types_that_were_written(self, example: Graph, tmp_path: Path) -> None:
        rclpy_node = pytest.importorskip("rclpy.node", reason="needs ROS")
        from rclpy.context import Context

        node = example.resolve({"label": "1.0", "speed": "1e-5"}).nodes[0]
        context = Context()
        context.init(args=[], domain_id=50)
        ros_node = rclpy_node.Node(
            "anything",
            context=context,
            cli_args=["--ros-args", "--params-file", str(node.write_parameters(tmp_path))],
            automatically_declare_parameters_from_overrides=True,
            start_parameter_services=False,
        )
        try:
            read = {name: ros_node.get_parameter(name).value for name in node.parameters}
        finally:
            ros_node.destroy_node()
            context.try_shutdown()
        assert {**read, "list": list(read["list"])} == node.parameters
        assert [type(read[name]) for name in ("label", "speed", "steps")] == [str, float, int]


class TestAssignments:
    def test_the_first_separator_counts(self) -> None:
        assert parse_assignments(["a:=1", "b:=x:=y", "c:="]) == {"a": "1", "b": "x:=y", "c": ""}

    @pytest.mark.parametrize("words", [["a=1"], [":=1"], ["a"], ["a:=1", "a:=2"]])
    def test_other_words_are_refused(self, words: list[str]) -> None:
        with pytest.raises(ValueError, match=words[-1].split(":=")[0] or "name:=value"):
            parse_assignments(words)


class TestInstallation:
    def test_share_is_searched_where_there_is_no_source_tree(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(suite_folder, "__file__", str(tmp_path / "lib" / "psr_core" / "suite_folder.py"))
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'other'}:{tmp_path / 'install'}")
        with pytest.raises(FileNotFoundError, match="install/share/psr_suite"):
            suite_root()
        share = tmp_path / "install" / "share" / "psr_suite"
        (share / "config").mkdir(parents=True)
        (share / "config" / "sim.yaml").write_text(EXAMPLE)
        assert suite_root() == share
        assert load_graph("sim").nodes[0]["name"] == "first"


class TestShippedGraphs:
    def test_there_is_one_for_each_way_to_run(self) -> None:
        assert graph_names() == ["mesh", "robot", "sim"]

    def test_the_mesh_builders_sets_parameters_that_the_node_has(self, ros_domain: int) -> None:
        pytest.importorskip("rclpy", reason="needs ROS")
        from rclpy.context import Context

        from psr_mesh.node import MeshNode

        (planned,) = load_graph("mesh").resolve({}).nodes
        context = Context()
        context.init(args=[], domain_id=ros_domain)
        node = MeshNode(context=context, cli_args=["--ros-args", "-p", "autostart:=false"])
        try:
            declared = {each: node.get_parameter(each).value for each in planned.parameters}
        finally:
            node.destroy_node()
            context.try_shutdown()
        folders = ("prior", "catalogue", "work")
        for each, value in planned.parameters.items():
            assert value == (str(Path(declared[each]).absolute()) if each in folders else declared[each]), each

    @pytest.mark.parametrize("name", ["robot", "sim"])
    def test_defaults_resolve_and_what_they_point_to_exists(self, name: str) -> None:
        graph = load_graph(name)
        plan = graph.resolve({"record": "true", "depth": "true", "pose": "true"})
        for node in plan.nodes:
            assert importlib.util.find_spec(node.module) is not None, node.module
        profile = plan.environment["FASTRTPS_DEFAULT_PROFILES_FILE"]
        for file in (profile, *(node.parameters.get("contract") for node in plan.nodes)):
            assert file is None or Path(str(file)).is_file(), file
        assert all(argument.description for argument in graph.arguments)
        assert all(argument.name in describe_arguments(graph) for argument in graph.arguments)

    def test_a_task_brings_its_contract_and_a_policy_that_fits_it(self) -> None:
        from psr_policy.checkpoint import read_config
        from psr_policy.contract import load_contract
        from sim.tasks import TASKS

        for name, task in TASKS.items():
            nodes = load_graph("sim").resolve({"task": name}).nodes
            policy = next(node.parameters for node in nodes if node.name == "policy")
            contract = load_contract(str(policy["contract"]))
            assert list(contract.features) == [key for key, _ in task.obs_keys], name
            assert read_config(str(policy["checkpoint"])).obs_keys == task.obs_keys, name

    @pytest.mark.parametrize("name", ["robot", "sim"])
    def test_they_set_the_policys_parameters_to_its_own_defaults(self, name: str, ros_domain: int) -> None:
        pytest.importorskip("rclpy", reason="needs ROS")
        from rclpy.context import Context

        from psr_policy.node import PolicyNode

        context = Context()
        context.init(args=[], domain_id=ros_domain)
        node = PolicyNode(context=context, cli_args=["--ros-args", "-p", "autostart:=false"])
        try:
            declared = {each: node.get_parameter(each).value for each in node.list_parameters([], 0).names}
        finally:
            node.destroy_node()
            context.try_shutdown()
        policy = next(node for node in load_graph(name).resolve({}).nodes if node.name == "policy")
        rclpys_own = {"use_sim_time", "start_type_description_service"}
        assert set(declared) - set(policy.parameters) <= rclpys_own | {"autostart"}
        graphs_own = {"use_sim_time", "autostart", "tick_source", "threads"}
        for each in set(policy.parameters) - graphs_own:
            assert policy.parameters[each] == declared[each], each

    @pytest.mark.parametrize(
        ("node_name", "topics"),
        [("depth", {"image", "camera_info", "sparse_depth", "sparse_points"}), ("pose", {"image", "region"})],
    )
    @pytest.mark.parametrize("name", ["robot", "sim"])
    def test_images_are_looked_at_on_request_under_parameters_that_the_node_has(
        self, name: str, node_name: str, topics: set[str], ros_domain: int
    ) -> None:
        pytest.importorskip("rclpy", reason="needs ROS")
        from rclpy.context import Context

        from psr_perception.depth.node import DepthNode
        from psr_perception.pose.node import PoseNode

        graph = load_graph(name)
        assert node_name not in [node.name for node in graph.resolve({}).nodes]
        own = {f"{node_name}_sigma": "1.0"}  # the simulator's rotations are steered as the thesis has it
        given = {node_name: "true", f"{node_name}_k": "1.3", f"{node_name}_checkpoint": "/weights", **own}
        planned = next(node for node in graph.resolve(given).nodes if node.name == node_name)
        assert (planned.parameters["steering.k"], planned.parameters["checkpoint"]) == (1.3, "/weights")
        context = Context()
        context.init(args=[], domain_id=ros_domain)
        kind = {"depth": DepthNode, "pose": PoseNode}[node_name]
        node = kind(context=context, cli_args=["--ros-args", "-p", "autostart:=false"])
        try:
            declared = {each: node.get_parameter(each).value for each in node.list_parameters([], 0).names}
        finally:
            node.destroy_node()
            context.try_shutdown()
        types = {each: type(value) for each, value in declared.items()}
        assert {each: type(value) for each, value in planned.parameters.items()}.items() <= types.items()
        assert set(planned.remappings) <= topics
        dial = {each for each in planned.parameters if each.startswith("steering.")} - {"steering.k"}
        assert {planned.parameters[each] == declared[each] for each in dial} == {True}, "the node's own defaults"

    def test_rotations_are_those_of_what_hovers_before_the_simulators_camera(self) -> None:
        def planned(**given: str) -> tuple[object, object, object, str]:
            nodes = {node.name: node for node in load_graph("sim").resolve({"pose": "true", **given}).nodes}
            pose = nodes["pose"]
            steering = pose.parameters["steering.k"], pose.parameters["steering.sigma"], pose.parameters["steering.cap"]
            return nodes["sim"].parameters["display"], pose.parameters["symmetry"], steering, pose.remappings["region"]

        assert planned() == ("cube", "cube", (7.0, 0.5, True), "/display/region")
        assert planned(display="cylinder")[:2] == ("cylinder", "cylinder")
        assert planned(display="cylinder", pose_symmetry="none")[:2] == ("cylinder", "none")
        assert load_graph("sim").resolve({}).nodes[0].parameters["display"] == ""

    def test_the_clock_is_simulated_in_the_simulator_only(self) -> None:
        for name, simulated, source in (("sim", True, "topic"), ("robot", False, "timer")):
            policy = next(node for node in load_graph(name).resolve({}).nodes if node.name == "policy")
            assert policy.parameters["use_sim_time"] is simulated
            assert policy.parameters["tick_source"] == source
        assert "sim" not in [node.name for node in load_graph("robot").resolve({"record": "true"}).nodes]

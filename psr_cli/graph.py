"""Which processes make up a run, with which parameters: one description for `psr up` and for `ros2 launch`.

A graph is a YAML file in config/:

    description: one line
    arguments:
      mode: {default: lockstep, choices: [lockstep, realtime], description: one line}
      weights: {default: $(root)/models/lift_unet, type: path, description: one line}
    presets:                          # what goes with a value of an argument, in place of other arguments' defaults
      mode: {realtime: {weights: $(root)/models/quick}}
    environment: {NAME: value}        # for variables that are not set already
    nodes:
      - name: policy                  # the ROS node's name
        module: psr_policy.node       # what `python -m` runs
        executable: policy_node       # what `ros2 launch` runs
        if: $(flag)                   # optional
        parameters: {steering.k: $(k)}
        parameter_file: $(file)       # optional: a ROS parameter file, or nothing
        remappings: {/ee_pose: $(ee_pose_topic)}

`$(name)` stands for an argument's value, `$(config)` for the folder config/ and `$(root)` for the folder above it.
A value that is nothing but `$(name)` keeps the argument's type. An argument's type is that of its default, or `path`:
a file or folder, made absolute from the current folder. A parameter file gives values to the arguments that the
node's parameters stand for: they go before presets and defaults, and what is given to `resolve` goes before them.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from psr_cli.arguments import TYPES, Argument, Value, as_text
from psr_cli.parameter_file import read_parameters
from psr_core.suite_folder import suite_root

_SUBSTITUTION = re.compile(r"\$\(([\w.]+)\)")
_GRAPH_KEYS = {"description", "arguments", "presets", "environment", "nodes"}
_ARGUMENT_KEYS = {"default", "description", "type", "choices"}
_NODE_KEYS = {"name", "module", "executable", "if", "parameters", "parameter_file", "remappings"}


@dataclass(frozen=True)
class Node:
    """One process, everything filled in."""

    name: str
    module: str
    executable: str
    parameters: dict[str, Value]
    remappings: dict[str, str]

    def write_parameters(self, folder: Path) -> Path:
        """Write folder/<name>.yaml, a ROS parameter file for whatever namespace the node is in."""
        path = folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": self.parameters}}, allow_unicode=True))
        return path

    def command(self, parameter_file: Path) -> list[str]:
        """The command line that runs this node in its own Python process."""
        remappings = [part for source, target in self.remappings.items() for part in ("-r", f"{source}:={target}")]
        ros_arguments = ["-r", f"__node:={self.name}", *remappings, "--params-file", str(parameter_file)]
        return [sys.executable, "-m", self.module, "--ros-args", *ros_arguments]


@dataclass(frozen=True)
class Plan:
    """A graph whose arguments have values: the nodes to start and the environment variables they need."""

    nodes: tuple[Node, ...]
    environment: dict[str, str]

    def missing_environment(self, present: Mapping[str, str]) -> dict[str, str]:
        """What has to be added to `present`: a variable that someone has set already stays theirs."""
        return {name: value for name, value in self.environment.items() if name not in present}


@dataclass(frozen=True)
class Graph:
    """A graph file, read and checked; `resolve` turns it into a Plan."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    presets: dict[str, dict[str, dict[str, str]]]  # argument -> its value -> other arguments' values
    environment: dict[str, str]
    nodes: tuple[dict[str, Any], ...]
    root: Path

    def resolve(self, values: Mapping[str, str]) -> Plan:
        """Fill in `values` (argument -> text), elsewhere what parameter files say, elsewhere presets, then defaults.

        Raises ValueError naming the graph, the argument or node, and what was expected; as read_parameters for a file.
        """
        known = {argument.name: argument for argument in self.arguments}
        for name in values:
            if name not in known:
                raise ValueError(f"graph {self.name} has no argument {name!r}{_hint(name, known)}")
        filled = self._fill(values)
        filled = self._fill({**self._from_presets(filled), **self._from_files(filled), **values})
        environment = {name: str(_substitute(value, filled, self.name)) for name, value in self.environment.items()}
        nodes = (self._node(raw, filled) for raw in self.nodes)
        return Plan(tuple(node for node in nodes if node is not None), environment)

    def _fill(self, values: Mapping[str, str]) -> dict[str, Value]:
        places: dict[str, Value] = {"root": str(self.root), "config": str(self.root / "config")}
        return places | {each.name: each.convert(values.get(each.name, each.default)) for each in self.arguments}

    def _from_presets(self, filled: Mapping[str, Value]) -> dict[str, str]:
        """Argument -> text, as the presets have it for the values of other arguments."""
        chosen = (presets.get(as_text(filled[name]), {}) for name, presets in self.presets.items())
        return {name: text for preset in chosen for name, text in preset.items()}

    def _from_files(self, filled: Mapping[str, Value]) -> dict[str, str]:
        """Argument -> text, as the nodes' parameter files have it."""
        found: dict[str, str] = {}
        for raw in self.nodes:
            file = _substitute(raw.get("parameter_file", ""), filled, f"graph {self.name}, node {raw['name']}")
            for name, value in read_parameters(Path(file), raw["name"]).items() if file else ():
                found |= self._from_parameter(f"{file}: {name} is {as_text(value)!r}", raw, name, value)
        return found

    def _from_parameter(self, where: str, raw: dict[str, Any], name: str, value: Any) -> dict[str, str]:
        parameters = raw.get("parameters", {})
        if name not in parameters:
            raise ValueError(f"{where}, but node {raw['name']} has no such parameter{_hint(name, parameters)}")
        match = _SUBSTITUTION.fullmatch(str(parameters[name]))
        argument = next((each for each in self.arguments if match and each.name == match[1]), None)
        if argument is None:
            if value != parameters[name]:
                raise ValueError(f"{where}, in graph {self.name} always {as_text(parameters[name])!r}; remove it")
            return {}
        if not isinstance(value, str | int | float):
            raise ValueError(f"{where}, expected one value")
        try:
            argument.convert(as_text(value))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return {argument.name: as_text(value)}

    def _node(self, raw: dict[str, Any], filled: Mapping[str, Value]) -> Node | None:
        where = f"graph {self.name}, node {raw['name']}"
        wanted = _substitute(raw.get("if", True), filled, where)
        if not isinstance(wanted, bool):
            raise ValueError(f"{where}: `if` is {wanted!r}, expected true or false")
        if not wanted:
            return None
        parameters = {name: _substitute(value, filled, where) for name, value in raw.get("parameters", {}).items()}
        remappings = {name: str(_substitute(to, filled, where)) for name, to in raw.get("remappings", {}).items()}
        return Node(raw["name"], raw["module"], raw["executable"], parameters, remappings)


def load_graph(name: str) -> Graph:
    """Read a graph: `sim` and `robot` are files in config/; anything ending in .yaml is a file of your own.

    Raises FileNotFoundError with the names there are, ValueError naming the file and the entry that is wrong.
    """
    root = suite_root()
    path = Path(name) if name.endswith(".yaml") else root / "config" / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"no graph {name!r} at {path}; there are: {', '.join(graph_names())}, or give a .yaml file"
        )
    content = yaml.safe_load(path.read_text())
    _check_keys(content, _GRAPH_KEYS, {"nodes"}, str(path))
    for node in content["nodes"]:
        _check_keys(node, _NODE_KEYS, {"name", "module", "executable"}, f"{path}, nodes")
    raw_arguments = content.get("arguments", {}).items()
    arguments = tuple(_argument(name, raw, root, f"{path}, argument {name}") for name, raw in raw_arguments)
    return Graph(
        name=path.stem,
        description=content.get("description", ""),
        arguments=arguments,
        presets=_presets(content.get("presets", {}), arguments, root, f"{path}, presets"),
        environment=content.get("environment", {}),
        nodes=tuple(content["nodes"]),
        root=root,
    )


def graph_names() -> list[str]:
    """The graphs in config/."""
    return sorted(
        path.stem
        for path in (suite_root() / "config").glob("*.yaml")
        if "nodes" in (yaml.safe_load(path.read_text()) or {})
    )


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """["k:=2", ...] -> {"k": "2", ...}. Raises ValueError on a word of another form or a name given twice."""
    values: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator or not name:
            raise ValueError(f"{word!r} is not of the form name:=value")
        if name in values:
            raise ValueError(f"argument {name} is given twice: {values[name]!r} and {value!r}")
        values[name] = value
    return values


def describe_arguments(graph: Graph) -> str:
    """The text of --show-args."""
    lines = [f"{graph.name}: {graph.description}", ""]
    for argument in graph.arguments:
        lines += [f"  {argument.name}:={argument.default}    ({argument.type})", f"      {argument.description}"]
        if argument.choices:
            lines.append(f"      one of: {', '.join(argument.choices)}")
    return "\n".join(lines)


def _presets(raw: Any, arguments: Iterable[Argument], root: Path, where: str) -> dict[str, dict[str, dict[str, str]]]:
    known = {argument.name: argument for argument in arguments}
    places = {"root": str(root), "config": str(root / "config")}
    _check_keys(raw, set(known), set(), where)
    presets: dict[str, dict[str, dict[str, str]]] = {}
    for name, by_value in raw.items():
        for value, others in by_value.items():
            here = f"{where}, {name}, {value}"
            known[name].convert(as_text(value))
            _check_keys(others, set(known) - {name}, set(), here)
            texts = {other: as_text(_substitute(text, places, here)) for other, text in others.items()}
            for other, text in texts.items():
                known[other].convert(text)
            presets.setdefault(name, {})[as_text(value)] = texts
    return presets


def _argument(name: str, raw: Any, root: Path, where: str) -> Argument:
    _check_keys(raw, _ARGUMENT_KEYS, {"default", "description"}, where)
    type_name = raw.get("type", type(raw["default"]).__name__)
    if type_name not in TYPES:
        raise ValueError(f"{where}: type {type_name!r}, expected one of: {', '.join(TYPES)}")
    choices = ("true", "false") if type_name == "bool" else tuple(map(as_text, raw.get("choices", ())))
    places = {"root": str(root), "config": str(root / "config")}
    default = as_text(_substitute(raw["default"], places, where))
    argument = Argument(name, default, raw["description"], type_name, choices)
    argument.convert(default)
    return argument


def _check_keys(entry: Any, known: set[str], required: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: {entry!r}, expected a mapping with {', '.join(sorted(known))}")
    for key in required - set(entry):
        raise ValueError(f"{where}: {key!r} is missing")
    for key in set(entry) - known:
        raise ValueError(f"{where}: unknown key {key!r}{_hint(str(key), known)}")


def _substitute(value: Any, filled: Mapping[str, Value], where: str) -> Any:
    if isinstance(value, list):
        return [_substitute(item, filled, where) for item in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> Any:
        if match[1] not in filled:
            raise ValueError(f"{where}: {match[0]} names no argument{_hint(match[1], filled)}")
        return filled[match[1]]

    whole = _SUBSTITUTION.fullmatch(value)
    return lookup(whole) if whole else _SUBSTITUTION.sub(lambda match: as_text(lookup(match)), value)


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sorted(names))}"

"""The graphs of config/ as `ros2 launch` wants them; the only file that needs the packages launch and launch_ros."""

from __future__ import annotations

from typing import Any

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from psr_cli.arguments import Value
from psr_cli.graph import Graph, load_graph


def launch_description(name: str) -> LaunchDescription:
    """The graph `name`, its arguments declared; like `psr up`, everything stops when one node dies."""
    graph = load_graph(name)
    given: dict[str, str] = {}
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in graph.arguments
    ]
    note = OpaqueFunction(function=_note, args=[graph, given])
    return LaunchDescription([note, *declared, OpaqueFunction(function=_nodes, args=[graph, given])])


def _note(context: Any, graph: Graph, given: dict[str, str]) -> None:
    """Runs before the defaults are filled in: afterwards nobody could tell them from what was asked for."""
    names = [argument.name for argument in graph.arguments]
    given.update({name: context.launch_configurations[name] for name in names if name in context.launch_configurations})


def _nodes(context: Any, graph: Graph, given: dict[str, str]) -> list[Node]:
    """Runs once the arguments have values, so that they mean the same as in `psr up`."""
    plan = graph.resolve(given)
    return [
        Node(
            package="psr_suite",
            executable=node.executable,
            name=node.name,
            parameters=[{key: _typed(value) for key, value in node.parameters.items()}],
            remappings=list(node.remappings.items()),
            additional_env=plan.missing_environment(context.environment),
            output="screen",
            emulate_tty=True,
            on_exit=Shutdown(reason=f"{node.name} ended"),
        )
        for node in plan.nodes
    ]


def _typed(value: Value) -> Any:
    """launch_ros reads text as YAML, "1" as a number, unless it is told that text is meant."""
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value

"""`psr param`: look at and set the parameters of running nodes, on machines without the ros2 command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor

    from psr_ros.clients import RosSession

# DDS repeats its announcements every 3 s; the first ones are lost now and then.
DISCOVERY = 6.0
LISTING = 3.5
TYPES = ("not set", "bool", "integer", "double", "string", "bytes", "bools", "integers", "doubles", "strings")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("param", help="list, get, describe and set the parameters of running nodes")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, description: str, work: Any) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=description)
        added.set_defaults(run=run, work=work)
        return added

    listing = verb("list", "names and values, of one node or of all", _list)
    listing.add_argument("node", nargs="?", help="such as /policy (default: every node)")
    for name, description, work in (
        ("get", "the value of one parameter", _get),
        ("describe", "type, range and meaning of one parameter or of all", _describe),
        ("set", "change a parameter of a running node", _set),
    ):
        each = verb(name, description, work)
        each.add_argument("node", help="such as /policy")
        each.add_argument("name", nargs="?" if name == "describe" else None, help="such as steering.k")
        if name == "set":
            each.add_argument("value", help="such as 1.5")


def run(args: argparse.Namespace) -> int:
    from psr_ros.clients import RosSession

    try:
        with RosSession() as session:
            return int(args.work(session, args))
    except (LookupError, TimeoutError) as error:
        print(error.args[0], file=sys.stderr)
        return 1


def _list(session: RosSession, args: argparse.Namespace) -> int:
    from psr_ros.clients import ParameterClient

    if args.node:
        _find(session, args.node)
        nodes = [args.node]
    else:
        session.wait(lambda: False, LISTING)
        nodes = _nodes_with_parameters(session)
        if not nodes:
            raise LookupError("no node is running here; start a graph, or check ROS_DOMAIN_ID")
    for node in nodes:
        client = ParameterClient(session, node)
        print(client.node)
        for name, value in client.get().items():
            print(f"  {name}: {text(value)}")
    return 0


def _get(session: RosSession, args: argparse.Namespace) -> int:
    from psr_ros.clients import ParameterClient

    _find(session, args.node)
    print(text(ParameterClient(session, args.node).get(args.name)[args.name]))
    return 0


def _describe(session: RosSession, args: argparse.Namespace) -> int:
    from psr_ros.clients import ParameterClient

    _find(session, args.node)
    names = (args.name,) if args.name else ()
    for name, descriptor in ParameterClient(session, args.node).describe(*names).items():
        print(f"{name} ({TYPES[descriptor.type]}){_limits(descriptor)}\n    {descriptor.description}")
    return 0


def _set(session: RosSession, args: argparse.Namespace) -> int:
    from psr_ros.clients import ParameterClient

    _find(session, args.node)
    client = ParameterClient(session, args.node)
    outcome = client.set(args.name, args.value)
    if outcome.successful:
        print(f"{client.node} {args.name} = {text(outcome.value)}")
        return 0
    print(f"{client.node} refused: {outcome.reason}; {args.name} stays {text(outcome.value)}", file=sys.stderr)
    return 1


def _find(session: RosSession, node: str) -> None:
    from psr_ros.clients import full_name

    wanted = full_name(node)
    if not session.wait(lambda: wanted in _nodes_with_parameters(session), DISCOVERY):
        there = ", ".join(_nodes_with_parameters(session)) or "none"
        raise LookupError(f"no node {wanted}; running: {there}. Check the name and ROS_DOMAIN_ID")


def _nodes_with_parameters(session: RosSession) -> list[str]:
    services = {name for name, _ in session.node.get_service_names_and_types()}
    return [node for node in session.nodes() if f"{node}/list_parameters" in services]


def _limits(descriptor: ParameterDescriptor) -> str:
    ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
    limits = [f"{each.from_value:g} to {each.to_value:g}" for each in ranges]
    return "".join(f", {limit}" for limit in [*limits, descriptor.additional_constraints] if limit)


def text(value: Any) -> str:
    """A value the way it is typed: true, 1.5, [1, 2]."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return f"[{', '.join(map(text, value))}]"
    return "not set" if value is None else str(value)

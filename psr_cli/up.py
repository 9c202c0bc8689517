"""`psr up`: run a graph of nodes, each in its own process, on machines with or without a full ROS 2."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from psr_cli.graph import Plan, describe_arguments, load_graph, parse_assignments
from psr_cli.options import check_steering
from psr_cli.supervisor import LinePrinter, StopSignals
from psr_cli.watch import NodeDied, Watch, supervise, wait_until_ready, watched_session

if TYPE_CHECKING:
    from psr_interfaces.action import RunEpisodes

EXAMPLES = """examples:
  psr up sim k:=1.5 sigma:=0.1                   simulator and policy, until Ctrl-C
  psr up sim --episodes 10 --first-seed 100000   ... until ten episodes are over
  psr up robot --show-args                       what can be set
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "up",
        help="run a graph of nodes: simulator, policy, recorder",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("graph", help="sim, robot, or a .yaml file of your own")
    parser.add_argument("assignments", nargs="*", metavar="name:=value", help="arguments of the graph")
    parser.add_argument("--show-args", action="store_true", help="print the graph's arguments and stop")
    parser.add_argument("--episodes", type=int, default=0, help="run that many episodes, then stop")
    parser.add_argument("--first-seed", type=int, default=100_000, help="the episodes' seeds count from here")
    parser.add_argument("--keep-going", action="store_true", help="let the other nodes live when one dies")
    parser.add_argument(
        "--respawn", action="append", default=[], metavar="NODE", help="start this node again when it dies (repeatable)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    graph = load_graph(args.graph)
    if args.show_args:
        print(describe_arguments(graph))
        return 0
    plan = graph.resolve(parse_assignments(args.assignments))
    _check_respawn(args.respawn, plan)
    check_steering(plan)
    if args.episodes:
        import psr_ros.clients  # noqa: F401  before any process runs: Ctrl-C would have to wait for the import
    with (
        StopSignals() as stop,
        TemporaryDirectory(prefix="psr_up_") as folder,
        supervise(plan, Path(folder)) as supervisor,
    ):
        watch = Watch(supervisor, stop, args.keep_going, args.respawn)
        watch.say("psr", f"started {', '.join(supervisor.running)}; Ctrl-C stops")
        try:
            if args.episodes:
                complete = _run_episodes(watch, plan, args.first_seed, args.episodes)
                return stop.exit_code if stop.requested else 0 if complete else 1
            watch.forever()
        except NodeDied as death:
            watch.say("psr", f"{death}; stopping")
            return 1
        except KeyboardInterrupt:
            watch.say("psr", "stopping")
        return stop.exit_code


def _run_episodes(watch: Watch, plan: Plan, first_seed: int, episodes: int) -> bool:
    """Whether every episode ended as a success or a failure."""
    from psr_ros.clients import RunEpisodesClient

    with watched_session(watch) as session:
        wait_until_ready(session, plan)
        with RunEpisodesClient(session) as client:
            outcome = client.run(first_seed, episodes, on_feedback=episode_progress(watch.say, episodes))
    watch.say("psr", summary(outcome.result, episodes))
    return bool(len(outcome.result.results) - outcome.result.aborted == episodes)


def episode_progress(say: LinePrinter, episodes: int) -> Callable[[RunEpisodes.Feedback], None]:
    """A feedback handler that says a line whenever another episode is over."""
    finished = 0

    def report(feedback: RunEpisodes.Feedback) -> None:
        nonlocal finished
        if feedback.finished > finished:
            finished = feedback.finished
            say("psr", f"{finished}/{episodes} episodes, {feedback.successes} successes")

    return report


def summary(result: RunEpisodes.Result, episodes: int) -> str:
    """One line, such as "9 of 10 episodes succeeded, 1 aborted (no policy: 1)"."""
    text = f"{result.successes} of {episodes} episodes succeeded, {result.failures} failed"
    if result.aborted:
        reasons: Counter[Any] = Counter(each.reason for each in result.results if each.reason)
        text += f", {result.aborted} aborted ({', '.join(f'{reason}: {n}' for reason, n in reasons.items())})"
    if left := episodes - len(result.results):
        text += f", {left} not run"
    return text


def _check_respawn(names: list[str], plan: Plan) -> None:
    known = [node.name for node in plan.nodes]
    for name in names:
        if name not in known:
            raise ValueError(f"--respawn {name}: the graph has no such node; it has: {', '.join(known)}")

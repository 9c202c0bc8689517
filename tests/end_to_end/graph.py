"""The real graph, as `psr up sim` starts it: simulator, policy and recorder as processes over DDS."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psr_cli.demo import free_domain
from psr_cli.graph import Plan, load_graph, suite_root
from psr_cli.supervisor import Supervisor
from psr_cli.watch import supervise, wait_until_ready

CHECKPOINT = suite_root() / "models" / "lift_unet"


class RunningGraph:
    """A started graph, and what tests do to it."""

    def __init__(self, supervisor: Supervisor, bag: Path) -> None:
        from psr_ros.clients import RosSession

        self.supervisor, self.bag = supervisor, bag
        self.session = RosSession("test")

    def run(self, first_seed: int, episodes: int, max_steps: int, on_feedback: Callable | None = None):
        """Results of the episodes (EpisodeResult messages)."""
        from psr_ros.clients import RunEpisodesClient

        with RunEpisodesClient(self.session) as client:
            return client.run(first_seed, episodes, max_steps, on_feedback, timeout=120).result.results

    def set(self, name: str, value: object):
        """Set a parameter of the policy; returns the outcome with the node's reason."""
        from psr_ros.clients import ParameterClient

        return ParameterClient(self.session, "/policy").set(name, value)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for the end."""
        os.kill(self.supervisor.pid(name), signal.SIGKILL)
        deadline = time.monotonic() + 5
        while name in self.supervisor.running and time.monotonic() < deadline:
            self.supervisor.poll()
            time.sleep(0.02)


class Once:
    """A feedback callback that calls `action` a single time, as soon as an episode has come to `step`."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self._step, self._action = step, action
        self.called = False

    def __call__(self, feedback) -> None:
        if not self.called and feedback.step >= self._step:
            self.called = True
            self._action()


@contextmanager
def running_graph(folder: Path, **arguments: str) -> Iterator[RunningGraph]:
    """The sim graph on a ROS domain of its own, recording into folder/bag; arguments as `psr up sim` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = load_graph("sim").resolve({"record": "true", "bag": str(folder / "bag"), **arguments})
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**plan.environment, **own_domain(folder)}.items():
            environment.setenv(name, value)
        with supervise(plan, folder) as supervisor:
            yield from _started(supervisor, folder, plan)


def own_domain(folder: Path) -> dict[str, str]:
    """Environment variables that keep a graph apart from every other on this machine."""
    return {
        "ROS_DOMAIN_ID": str(free_domain(os.getpid())),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(folder / "log"),
    }


def _started(supervisor: Supervisor, folder: Path, plan: Plan) -> Iterator[RunningGraph]:
    graph = RunningGraph(supervisor, folder / "bag")
    with graph.session:
        wait_until_ready(graph.session, plan)
        yield graph

"""Keeps an eye on supervised nodes while something else goes on: waiting, or asking the nodes over ROS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from psr_cli.graph import Plan
from psr_cli.supervisor import Exit, StopSignals, Supervisor

if TYPE_CHECKING:
    from psr_ros.clients import RosSession

MAX_RESTARTS = 5
STARTUP = 60.0  # seconds until every node is expected to be active; the first start reads a lot from the disk


class NodeDied(RuntimeError):
    """A node ended although nobody asked it to."""


def supervise(plan: Plan, folder: Path) -> Supervisor:
    """A supervisor for the plan's nodes, not started yet; their parameter files go to `folder`.

    The environment variables that the plan needs are set for this process too, so that it talks to the nodes alike.
    """
    os.environ.update(plan.missing_environment(os.environ))
    return Supervisor({node.name: node.command(node.write_parameters(folder)) for node in plan.nodes}, {})


class Watch:
    """Called again and again, says who died and raises when the run is over.

    Raises NodeDied at a death, unless the node is in `respawn` (started again, at most 5 times) or keep_going is set
    and others are left. Raises KeyboardInterrupt, once, when a stop is requested.
    """

    def __init__(
        self, supervisor: Supervisor, stop: StopSignals, keep_going: bool = False, respawn: Collection[str] = ()
    ) -> None:
        self._supervisor, self._stop, self._keep_going = supervisor, stop, keep_going
        self._restarts_left = dict.fromkeys(respawn, MAX_RESTARTS)
        self._interrupted = False
        self.say = supervisor.say

    def __call__(self) -> None:
        if self._stop.requested and not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt
        for death in self._supervisor.poll():
            self._handle(death)
        if not self._supervisor.running:
            raise NodeDied("no node is left")

    def forever(self) -> None:
        """Watch until one of the exceptions comes."""
        while True:
            self()
            time.sleep(0.1)

    def _handle(self, death: Exit) -> None:
        self.say("psr", str(death))
        left = self._restarts_left.get(death.name, 0)
        if left:
            self._restarts_left[death.name] = left - 1
            self.say("psr", f"RESTARTING {death.name}; {left - 1} restarts left")
            self._supervisor.start(death.name)
        elif not self._keep_going:
            raise NodeDied(f"{death.name} ended")


def watched_session(check: Callable[[], None]) -> RosSession:
    """A RosSession that calls check() at every turn of its waits; what check raises ends the wait."""
    from psr_ros.clients import RosSession

    class WatchedSession(RosSession):
        def wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
            def checked() -> bool:
                check()
                return done()

            return super().wait(checked, timeout)

    return WatchedSession("psr")


def wait_until_ready(session: RosSession, plan: Plan) -> None:
    """Return once every node is active and they know each other.

    Raises TimeoutError naming the first node that is not active, and its state.
    """
    from psr_ros.clients import wait_for_active
    from psr_ros.qos import DISCOVERY

    end = time.monotonic() + STARTUP
    for node in plan.nodes:
        wait_for_active(session, node.name, max(end - time.monotonic(), 1.0))
    if len(plan.nodes) > 1:
        session.wait(lambda: False, DISCOVERY)

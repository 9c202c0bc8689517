"""A short-lived place on the ROS graph, from which a command asks other nodes something."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

TURN = 0.1  # seconds between two looks at time limits and signals
TIMEOUT = 10.0  # finding a node takes Fast DDS more than 3 s when the first announcement gets lost
RESEND = 0.5


def full_name(node: str) -> str:
    """The full name of a node: "policy" is "/policy"."""
    return "/" + node.strip("/")


class RosSession:
    """A ROS context of its own with one short-lived node, to be used in a `with` statement from one thread."""

    def __init__(self, name: str = "psr_cli", domain_id: int | None = None) -> None:
        self._name = f"{name}_{os.getpid()}"
        self._domain_id = domain_id

    def __enter__(self) -> RosSession:
        self._context = Context()
        self._context.init(args=[], domain_id=self._domain_id)
        self.node = Node(
            self._name,
            context=self._context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, Any] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """Handle what arrives until done() or for `timeout` seconds (None: for ever). Returns done()."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not done() and time.monotonic() < end:
            try:
                self._executor.spin_once(timeout_sec=min(TURN, max(end - time.monotonic(), 0.0)))
            except ExternalShutdownException:
                break
        return done()

    def wait_for(self, future: Future, timeout: float | None, what: str) -> Any:
        """The result of a future. Raises TimeoutError saying what did not answer."""
        if not self.wait(future.done, timeout):
            future.cancel()
            raise TimeoutError(f"{what} did not answer within {timeout:g} s; is the node busy or stopped?")
        return future.result()

    def call(self, service: str, kind: type[Any], request: Any, timeout: float = TIMEOUT, repeat: bool = True) -> Any:
        """The response of a service. Raises TimeoutError when nobody offers it, or on no answer.

        repeat: send the request again twice a second. A server that has not found this session yet cannot answer the
        first one; a request that must not be carried out twice has to do without.
        """
        client = self.client(service, kind)
        end = time.monotonic() + timeout
        if not self.wait(client.service_is_ready, timeout):
            raise TimeoutError(f"nobody offers {service} (waited {timeout:g} s); {self._who_is_there()}")
        futures = [client.call_async(request)]
        while not self.wait(lambda: any(f.done() for f in futures), min(RESEND, end - time.monotonic())):
            if time.monotonic() >= end:
                raise TimeoutError(f"{service} did not answer within {timeout:g} s; is the node busy or stopped?")
            if repeat:
                futures.append(client.call_async(request))
        return next(future.result() for future in futures if future.done())

    def client(self, service: str, kind: type[Any]) -> Any:
        """The client of a service, made at its first use.

        A server that answers any later request of this session has found this client too.
        """
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        return self._clients[service]

    def nodes(self) -> list[str]:
        """Full names of the other nodes on the graph."""
        found = self.node.get_node_names_and_namespaces()
        names = {f"{namespace.rstrip('/')}/{name}" for name, namespace in found}
        return sorted(names - {self.node.get_fully_qualified_name()})

    def _who_is_there(self) -> str:
        nodes = ", ".join(self.nodes()) or "none"
        return f"running nodes: {nodes}. Start the graph, or check the node's name and ROS_DOMAIN_ID"

"""A ROS graph of its own for every test, on a domain nobody else uses."""

from __future__ import annotations

import threading
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402

DOMAIN = 21


class Graph:
    """Nodes in one executor: spun by the test itself with until(), or in the background after start()."""

    def __init__(self):
        self.executor = SingleThreadedExecutor()
        self.nodes = []
        self._thread = None
        self._failure = None

    def add(self, node):
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def until(self, done, timeout=10.0):
        """Handle what arrives until done(); fails the test when that takes too long."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"still waiting after {timeout} s"
            self.executor.spin_once(timeout_sec=0.02)

    def answer(self, future, timeout=10.0):
        self.until(future.done, timeout)
        return future.result()

    def start(self):
        """From now on a thread handles what arrives: for clients that wait on their own."""

        def spin():
            try:
                self.executor.spin()
            except rclpy.executors.ExternalShutdownException:
                pass
            except Exception as error:  # noqa: BLE001
                self._failure = error

        self._thread = threading.Thread(target=spin)
        self._thread.start()

    def close(self):
        self.executor.shutdown()
        if self._thread:
            self._thread.join()
        for node in self.nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        if self._failure:
            raise self._failure


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[])
    made = Graph()
    yield made
    made.close()

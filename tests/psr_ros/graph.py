"""Nodes under test in one executor, with a clean end whatever a test leaves behind."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor


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
            except ExternalShutdownException:
                pass
            except Exception as error:
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


@contextmanager
def ros_graph():
    """A graph in the default context; the caller has chosen the domain."""
    rclpy.init(args=[])
    made = Graph()
    try:
        yield made
    finally:
        made.close()

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")


@pytest.fixture
def graph(ros_domain):
    """Nodes of this test's own, on a domain nobody else uses."""
    from tests.psr_ros.graph import ros_graph

    with ros_graph() as made:
        yield made

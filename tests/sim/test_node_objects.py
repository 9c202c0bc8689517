"""The bridge with objects from files in its scene: in the cube's place, as clutter, or refused by name."""

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.parameter import Parameter  # noqa: E402

from psr_mesh.asset import AssetOptions  # noqa: E402
from psr_mesh.build import build_asset  # noqa: E402
from psr_mesh.surface import SurfaceOptions  # noqa: E402
from sim.node import SimNode  # noqa: E402
from tests.psr_mesh.fields import Solid, box  # noqa: E402
from tests.psr_ros.graph import ros_graph  # noqa: E402


@pytest.fixture
def bridge(ros_domain):
    """bridge(**values of parameters) -> a node that is active, or has said why not."""
    with ros_graph() as graph:

        def bridge(**values):
            node = graph.add(
                SimNode(parameter_overrides=[Parameter(name, value=each) for name, each in values.items()])
            )
            graph.until(lambda: node.state == "active" or node.last_error, timeout=60.0)
            return node

        yield bridge


def test_an_object_is_lifted_and_others_stand_about(bridge, tmp_path):
    surface, options = SurfaceOptions(resolution=24, faces=300), AssetOptions(longest_side=0.06, threshold=0.2)
    build_asset(Solid(box((0.6, 0.4, 0.3))), tmp_path / "box", surface=surface, asset=options)
    node = bridge(asset=str(tmp_path / "box"), clutter=str(tmp_path), clutter_count=2)
    assert node.state == "active", node.last_error
    model = node._scene._env._env.sim.model._model
    bodies = [model.body(number).name for number in range(model.nbody)]
    assert {"clutter0_main", "clutter1_main"} <= set(bodies) and "clutter2_main" not in bodies
    assert model.body("cube_main").mass[0] == pytest.approx(model.body("clutter0_main").mass[0])
    assert all(node.describe_parameter(name).description for name in ("asset", "clutter", "clutter_count"))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"asset": "/nowhere/cup"}, "/nowhere/cup is missing; name an asset's folder"),
        ({"clutter": "/nowhere"}, "/nowhere holds no assets"),
        ({"task": "Can", "asset": "/nowhere/cup"}, "for task Can; expected task Lift"),
        ({"task": "PushT", "clutter": "/nowhere"}, "for task PushT; expected one of: Lift, Can, Square, ToolHang"),
    ],
)
def test_what_cannot_be_is_named_and_the_node_stays_up(bridge, values, complaint):
    node = bridge(**values)
    assert node.state == "unconfigured"
    assert complaint in node.last_error

"""The solid before the camera through the graph: filmed, estimated by a pose node, recorded beside the truth."""

from __future__ import annotations

import numpy as np
import pytest

from psr_eval.bag_reader import BagReader, decode
from psr_eval.episodes import read_contents
from psr_eval.pose_track import find_track
from psr_eval.pose_views import as_html
from psr_perception.pose.checkpoint import save_pose_network
from sim.rendering import choose_gl
from tests.end_to_end.graph import running_graph
from tests.psr_perception.pose.small_networks import random_network

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A bag of two short episodes, the first of them filmed, with a pose network of random weights."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    folder = tmp_path_factory.mktemp("rotations")
    save_pose_network(folder / "pose", random_network(), {"data": "none: random weights"})
    given = {"pose": "true", "display": "cube", "pose_checkpoint": str(folder / "pose"), "camera_episodes": "1"}
    with running_graph(folder, **given, pose_steps="5", pose_samples="50", mode="realtime") as graph:
        graph.run(100_000, 2, 60)
        alive = list(graph.supervisor.running)
    messages = {}
    for raw in BagReader(graph.bag).messages():
        if raw.topic.startswith(("/pose/", "/display/", "/camera/")):
            messages.setdefault(raw.topic, []).append(decode(raw))
    return graph.bag, messages, alive


def test_nothing_crashed(recorded):
    assert set(recorded[2]) == {"sim", "policy", "recorder", "pose"}


def test_truth_comes_with_every_image_and_estimates_with_some(recorded):
    _, messages, _ = recorded
    assert set(messages) >= {"/camera/image_raw", "/camera/camera_info", "/display/pose", "/pose/samples", "/pose/info"}
    frames = {str(message.header) for message in messages["/display/pose"]}
    assert frames >= {str(message.header) for message in messages["/pose/info"]}
    infos = messages["/pose/info"]
    assert {(info.steering.k, info.steering.sigma, info.steering.cap) for info in infos} == {(7.0, 0.5, True)}
    # The first image may be looked at before the region is known.
    regions = [(info.region.x_offset, info.region.y_offset, info.region.width, info.region.height) for info in infos]
    assert set(regions[1:]) == {(5, 5, 80, 80)}
    with_pose = {str(pose.header) for pose in messages.get("/pose/pose", [])}
    assert all(info.problem or str(info.header) in with_pose for info in infos)


def test_the_bag_is_enough_for_the_report(recorded):
    track = find_track([read_contents(recorded[0])])
    assert len(track.seconds) >= 3
    assert np.isfinite(track.error(track.sample)).all()
    assert "one raw sample" in as_html(track)

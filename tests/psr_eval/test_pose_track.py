"""Estimated rotations in a bag: which frames count, how errors and jumps are told, what is drawn and said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core.rotations import axis_angle_to_matrix, matrix_to_quat_xyzw
from psr_core.steering import Steering
from psr_eval.episodes import read_contents
from psr_eval.pose_track import find_track, line_of_sight
from psr_eval.pose_views import chart, medians, picture, sentence, wireframe
from tests.psr_eval.conftest import SECOND, stamp

SIZE, FOCAL = 64, 80.0
CENTRE, SIDE = (16.0, 20.0), 21  # of the region: off the optical axis, and all of it in the image
K = np.array([[FOCAL, 0, (SIZE - 1) / 2], [0, FOCAL, (SIZE - 1) / 2], [0, 0, 1]])
SIGHT = line_of_sight(np.linalg.solve(K, [*CENTRE, 1.0]))
QUARTER = axis_angle_to_matrix([np.pi / 2, 0, 0])  # looks like nothing, to a cube


def pose(rotation) -> dict:
    quat = matrix_to_quat_xyzw(rotation)
    return {"orientation": dict(zip("xyzw", quat.tolist(), strict=True))}


def turned(degrees: float):
    return axis_angle_to_matrix(np.radians(degrees) * np.array([0.36, 0.8, 0.48]))


def put_frame(bag, at: float, stable=None, sample=None, without=(), frame="camera", symmetry="cube") -> None:
    """An image of a moment; the object has turned by 2 degrees a second. stable, sample: relative to the truth."""
    header = {"stamp": stamp(round(at * SECOND)), "frame_id": frame}
    truth = turned(2 * at)
    region = dict(zip(("x_offset", "y_offset"), (round(c - (SIDE - 1) / 2) for c in CENTRE), strict=True))
    messages = {
        "/camera/image_raw": (
            "sensor_msgs/msg/Image",
            dict(height=SIZE, width=SIZE, encoding="rgb8", step=3 * SIZE, data=np.full(3 * SIZE**2, round(at))),
        ),
        "/camera/camera_info": (
            "sensor_msgs/msg/CameraInfo",
            dict(height=SIZE, width=SIZE, k=K.ravel(), r=[0] * 9, p=[0] * 12),
        ),
        "/ee_pose": ("geometry_msgs/msg/PoseStamped", dict(header={**header, "frame_id": "world"}, pose=pose(QUARTER))),
        "/display/pose": ("geometry_msgs/msg/PoseStamped", dict(pose=pose(SIGHT @ truth))),
        "/pose/samples": (
            "geometry_msgs/msg/PoseArray",
            dict(poses=[pose(truth @ (QUARTER if sample is None else sample)), pose(np.eye(3))]),
        ),
        "/pose/info": (
            "psr_interfaces/msg/PoseInfo",
            dict(
                checkpoint="pose@0123456789ab",
                symmetry=symmetry,
                steering=Steering(k=7.0, sigma=0.5, cap=True).to_dict(),
                num_inference_steps=50,
                samples=200,
                region={**region, "width": SIDE, "height": SIDE},
            ),
        ),
    }
    if stable is not None:
        covered = {"pose": {"pose": pose(truth @ stable), "covariance": np.zeros(36)}}
        messages["/pose/pose"] = ("geometry_msgs/msg/PoseWithCovarianceStamped", covered)
    for topic, (kind, fields) in messages.items():
        if topic not in without:
            bag.put(topic, kind, **{"header": header, **fields})


def track_of(*bags):
    return find_track([read_contents(bag.close()) for bag in bags])


class TestFindTrack:
    def test_all_frames_count_and_a_few_images_are_kept(self, bag):
        one = bag()
        for at in range(1, 10):
            put_frame(one, at, np.eye(3))
        track = track_of(one)
        assert track.seconds.tolist() == list(range(1, 10))
        assert {number: int(image[0, 0, 0]) for number, image in track.pictures.items()} == {1: 2, 4: 5, 7: 8}

    def test_the_truth_is_told_relative_to_the_line_of_sight(self, bag):
        one = bag()
        put_frame(one, 4.0, np.eye(3))
        track = track_of(one)
        assert torch.allclose(track.truth[0], torch.from_numpy(turned(8.0)), atol=1e-9)
        assert track.error(track.stable)[0] == pytest.approx(0, abs=1e-4)

    def test_errors_are_up_to_symmetry_and_jumps_are_not(self, bag):
        one = bag()
        off = axis_angle_to_matrix(np.radians([0, 0, 5.0]))
        for at, sample in ((1, np.eye(3)), (2, QUARTER), (3, QUARTER)):
            put_frame(one, at, off, sample)
        track = track_of(one)
        assert track.error(track.sample) == pytest.approx([0, 0, 0], abs=1e-4)
        assert track.error(track.stable) == pytest.approx([5, 5, 5], abs=1e-4)
        assert track.jumps(track.truth) == pytest.approx([2, 2], abs=1e-4)
        assert track.jumps(track.sample)[0] > 85
        assert track.jumps(track.sample)[1] == pytest.approx(2, abs=1e-4)

    def test_a_frame_without_a_steady_pose_stays_a_gap(self, bag):
        one = bag()
        for at, stable in ((1, np.eye(3)), (2, None), (3, np.eye(3)), (4, np.eye(3))):
            put_frame(one, at, stable)
        track = track_of(one)
        assert np.isfinite(track.error(track.stable)).tolist() == [True, False, True, True]
        assert np.isfinite(track.jumps(track.stable)).tolist() == [False, False, True]
        assert np.isfinite(track.error(track.sample)).all()

    def test_moments_are_not_mixed(self, bag):
        one = bag()
        put_frame(one, 1, without=("/pose/samples", "/pose/info"))  # dropped
        put_frame(one, 2, without=("/display/pose",))
        put_frame(one, 3)
        assert track_of(one).seconds.tolist() == [3]

    @pytest.mark.parametrize(
        "topic", ["/camera/image_raw", "/camera/camera_info", "/display/pose", "/pose/samples", "/pose/info"]
    )
    def test_bags_that_lack_something_have_none(self, bag, topic):
        first, second = bag("first"), bag("second")
        put_frame(first, 1, np.eye(3), without=(topic,))
        assert track_of(first) is None
        put_frame(second, 2, np.eye(3))
        assert track_of(first, second).seconds.tolist() == [2]

    def test_an_object_that_cannot_be_drawn_has_none(self, bag):
        one = bag()
        put_frame(one, 1, np.eye(3), symmetry="nut")
        assert track_of(one) is None


class TestDrawing:
    @pytest.fixture
    def track(self, bag):
        one = bag()
        for at in range(1, 8):
            put_frame(
                one, at, None if at == 4 else axis_angle_to_matrix([0, 0, 0.05]), QUARTER if at % 2 else np.eye(3)
            )
        return track_of(one)

    def test_the_wireframe_fills_the_region_as_the_network_knows_it(self, track):
        points = np.concatenate(wireframe(track, 0, track.truth[0]))
        reach = np.abs(points - CENTRE).max()
        assert 0.6 * SIDE / 2 / 1.3 < reach < 1.2 * SIDE / 2 / 1.3
        assert np.abs(points.mean(0) - CENTRE).max() < 2

    def test_a_frame_without_a_pose_has_no_wireframe(self, track):
        assert wireframe(track, 3, track.stable[3]) == []

    def test_pictures_are_png_and_the_table_has_the_medians(self, track):
        assert picture(track).startswith(b"\x89PNG") and chart(track).startswith(b"\x89PNG")
        steady, raw, truth = medians(track).split("<tr>")[2:]
        for part in ("steady pose", ">6<", "2.9°", "2.0°"):
            assert part in steady
        for part in ("one raw sample", ">7<", "0.0°"):
            assert part in raw
        assert "truth" in truth and "2.0°" in truth
        for part in ("cube", "pose@0123456789ab", "k=7", "200 samples", "50 network calls"):
            assert part in sentence(track)


def test_only_reports_of_bags_with_rotations_have_the_section(bag):
    from psr_eval.report import render
    from psr_eval.scores import score

    plain, other = bag("plain"), bag("other")
    plain.play(1)
    put_frame(other, 1, np.eye(3))
    put_frame(other, 2, np.eye(3))
    other.play(1)
    for one, has in ((plain, False), (other, True)):
        bags = [read_contents(one.close())]
        assert ("Rotation from the camera" in render(bags, score(bags))) is has

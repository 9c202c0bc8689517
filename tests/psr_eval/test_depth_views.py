"""Estimated depth in a bag: which images are shown, what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from psr_core.steering import Steering
from psr_eval.depth_views import find_views, picture, sentence
from psr_eval.episodes import read_contents
from tests.psr_eval.conftest import SECOND, stamp

SHAPE = (6, 8)
TRUTH = np.linspace(1, 2, 48, dtype=np.float32).reshape(SHAPE)


def put_maps(bag, at: float, topics=("/depth/depth", "/camera/depth/image_raw"), factor: float = 1.1) -> None:
    """A camera image of a moment, its true depth and an estimate that is 10 % too far."""
    header = {"stamp": stamp(round(at * SECOND))}
    picture = np.full((*SHAPE, 3), round(at), np.uint8)
    common = {"header": header, "height": SHAPE[0], "width": SHAPE[1]}
    bag.put("/camera/image_raw", "sensor_msgs/msg/Image", **common, encoding="rgb8", step=24, data=picture.reshape(-1))
    for topic, depth in zip(topics, (factor * TRUTH, TRUTH), strict=False):
        data = depth.astype("<f4").view(np.uint8).reshape(-1)
        bag.put(topic, "sensor_msgs/msg/Image", **common, encoding="32FC1", step=32, data=data)
    bag.put(
        "/depth/info",
        "psr_interfaces/msg/DepthInfo",
        header=header,
        checkpoint="depth@0123456789ab",
        steering=Steering(k=1.3, sigma=10.0).to_dict(),
        num_inference_steps=10,
        points=200,
        inliers=160,
    )


def contents(bag):
    return [read_contents(bag.close())]


class TestFindViews:
    def test_images_are_spread_evenly_over_those_with_everything(self, bag):
        one = bag()
        for at in range(1, 10):
            put_maps(one, at)
        views = find_views(contents(one), 3)
        assert [int(view.rgb[0, 0, 0]) for view in views] == [2, 5, 8]

    def test_maps_of_other_moments_are_not_mixed(self, bag):
        one = bag()
        put_maps(one, 1, topics=("/depth/depth",))  # no truth was recorded yet
        put_maps(one, 2, factor=1.2)
        put_maps(one, 3, topics=())
        views = find_views(contents(one), 3)
        assert [int(view.rgb[0, 0, 0]) for view in views] == [2]
        assert views[0].median_error == pytest.approx(0.2, abs=1e-6)

    def test_what_has_no_depth_does_not_count(self, bag):
        one = bag()
        put_maps(one, 1)
        view = find_views(contents(one))[0]
        view.truth[0], view.depth[1] = np.nan, np.nan
        assert np.isnan(view.error[:2]).all() and np.isfinite(view.error[2:]).all()
        assert view.median_error == pytest.approx(0.1, abs=1e-6)

    @pytest.mark.parametrize("topics", [(), ("/depth/depth",), ("/elsewhere/depth", "/camera/depth/image_raw")])
    def test_bags_that_lack_something_have_none(self, bag, topics):
        one = bag()
        put_maps(one, 1, topics=topics)
        assert find_views(contents(one)) == []

    def test_the_first_bag_that_has_some_is_shown(self, bag):
        first, second = bag("first"), bag("second")
        first.play(1, picture=lambda step: np.zeros((*SHAPE, 3), np.uint8))
        put_maps(second, 7)
        assert len(find_views([*contents(first), *contents(second)])) == 1


def test_zero_and_infinite_depth_are_unknown(bag, monkeypatch):
    one = bag()
    monkeypatch.setitem(globals(), "TRUTH", np.where(np.arange(48).reshape(SHAPE) < 8, np.inf, TRUTH))
    put_maps(one, 1)
    view = find_views(contents(one))[0]
    assert np.isnan(view.truth[0]).all() and np.isfinite(view.truth[1:]).all()


def test_the_picture_is_a_png_and_the_sentence_names_what_made_it(bag):
    one = bag()
    put_maps(one, 1)
    put_maps(one, 2, factor=0.95)
    views = find_views(contents(one))
    assert picture(views).startswith(b"\x89PNG")
    said = sentence(views)
    for part in ("depth@0123456789ab", "k=1.3", "10 network calls", "200 sparse points, of which 160", "5.0% to 10.0%"):
        assert part in said


def test_only_reports_of_bags_with_depth_have_the_section(bag):
    from psr_eval.report import render
    from psr_eval.scores import score

    one = bag()
    one.play(1)
    assert "Depth from the camera" not in render(contents(one), score(contents(one)))
    other = bag("other")
    put_maps(other, 1)
    other.play(1)
    bags = contents(other)
    assert "Depth from the camera" in render(bags, score(bags))

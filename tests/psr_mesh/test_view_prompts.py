"""What a prior is asked for by view: a function of the bin, and where cameras are moved to."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.multiview import camera_numbers
from psr_core.distillation.prior_folder import open_prior
from psr_mesh.cameras import CameraRanges, random_cameras, turntable
from psr_mesh.view_prompts import BIN, multi_view, novel_view, perp_neg, same_words, view_words
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_multi_view, tiny_novel_view, tiny_text_to_image


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


@pytest.fixture(scope="module")
def mv(tmp_path_factory):
    return open_prior(tiny_multi_view(tmp_path_factory.mktemp("mv"))).load()


@pytest.fixture(scope="module")
def nv(tmp_path_factory):
    return open_prior(tiny_novel_view(tmp_path_factory.mktemp("nv"))).load()


def cameras_at(*azimuths, elevation=15.0):
    cameras = turntable(len(azimuths), elevation)
    cameras.azimuth.copy_(torch.tensor(azimuths))
    return cameras


class TestWords:
    def test_a_view_is_called_what_the_pictures_of_training_were(self, sd):
        prompts = view_words(sd, "a cat")
        said = prompts.prompt(prompts.bins(cameras_at(0.0, 90.0, 180.0, -90.0))).positive["text"]
        expected = sd.features([f"a cat, {word} view" for word in ("front", "side", "back", "side")])
        torch.testing.assert_close(said, expected)

    def test_from_above_it_is_overhead(self, sd):
        prompts = view_words(sd, "a cat")
        bins = prompts.bins(cameras_at(0.0, 90.0, elevation=70.0))
        torch.testing.assert_close(prompts.prompt(bins).positive["text"][:1], sd.features(["a cat, overhead view"]))
        assert bins[0] == bins[1]

    def test_without_view_words_all_views_are_asked_the_same(self, sd):
        prompts = same_words(sd, "a cat")
        assert prompts.bins(cameras_at(0.0, 90.0)).tolist() == [0, 0]
        torch.testing.assert_close(prompts.table.positive["text"], sd.features(["a cat"]))

    def test_the_negative_goes_with_every_view(self, sd):
        prompt = view_words(sd, "a cat", "a blur").prompt(torch.tensor([0, 2, 3]))
        torch.testing.assert_close(prompt.negative["text"], sd.features(["a blur"] * 3))


class TestPerpNeg:
    def test_left_and_right_are_one_bin_and_neighbours_are_not(self, sd):
        bins = perp_neg(sd, "a cat").bins(cameras_at(50.0, -50.0, 50.0 + BIN, 310.0))
        assert bins[0] == bins[1] == bins[3] != bins[2]

    def test_the_front_is_moved_away_from_at_the_back_and_not_at_the_front(self, sd):
        prompts = perp_neg(sd, "a cat")
        front, side = prompts.prompt(prompts.bins(cameras_at(1.0, 100.0, 179.0))).weights
        assert front[0] > -0.2 and front[1] < 0 and front[2] < -1
        assert side[2] < 0

    def test_overhead_is_moved_away_from_nothing(self, sd):
        prompts = perp_neg(sd, "a cat")
        prompt = prompts.prompt(prompts.bins(cameras_at(10.0, elevation=80.0)))
        assert (prompt.weights == 0).all()
        torch.testing.assert_close(prompt.positive["text"], sd.features(["a cat, overhead view"]))


@pytest.mark.parametrize("kind", ["mv", "nv"])
def test_a_camera_stands_where_its_bin_says(kind, request):
    prior = request.getfixturevalue(kind)
    image = torch.rand(3, SIZE, SIZE)
    prompts = multi_view(prior, "a cat") if kind == "mv" else novel_view(prior, image, 15.0)
    cameras = prompts.placed(random_cameras(CameraRanges(), 8, seed=1, step=2))
    bins = prompts.bins(cameras)
    again = prompts.placed(cameras)
    torch.testing.assert_close(again.azimuth % 360, cameras.azimuth % 360)
    torch.testing.assert_close(prompts.bins(again), bins)
    if kind == "mv":
        told = prompts.prompt(bins).positive["camera"]
        torch.testing.assert_close(told, camera_numbers(cameras.elevation, cameras.azimuth), atol=1e-5, rtol=0)


def test_the_views_of_an_object_stand_at_equal_steps_at_one_elevation(mv):
    cameras = multi_view(mv, "a cat").placed(random_cameras(CameraRanges(), 8, seed=1, step=2))
    around, up = cameras.azimuth.view(2, 4), cameras.elevation.view(2, 4)
    torch.testing.assert_close((around - around[:, :1]) % 360, torch.tensor([[0.0, 90.0, 180.0, 270.0]]).expand(2, 4))
    assert (up == up[:, :1]).all()


def test_what_is_asked_of_a_picture_follows_the_camera(nv):
    elevation = 0.5 * BIN
    prompts = novel_view(nv, torch.full((3, SIZE, SIZE), 0.5), elevation)
    near, far = prompts.prompt(prompts.bins(prompts.placed(cameras_at(0.5 * BIN, 180.0, elevation=7.0)))).positive[
        "view"
    ]
    assert not torch.equal(near, far)

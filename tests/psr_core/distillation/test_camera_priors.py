"""Priors that know cameras: MVDream's views seen together, Zero-1-to-3's image and change of camera."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.multiview import camera_numbers
from psr_core.distillation.novel_view import CLIP_MEAN, CLIP_STD, camera_change, projection_layer
from psr_core.distillation.prior_folder import MULTI_VIEW, NOVEL_VIEW, open_prior
from tests.psr_core.distillation.tiny_priors import (
    SIZE,
    change_json,
    tiny_multi_view,
    tiny_novel_view,
    tiny_text_to_image,
)

VIEWS = 4
AROUND = torch.tensor([0.0, 90.0, 180.0, 270.0])


@pytest.fixture(scope="module")
def multi_view(tmp_path_factory):
    return tiny_multi_view(tmp_path_factory.mktemp("mv"))


@pytest.fixture(scope="module")
def novel_view(tmp_path_factory):
    return tiny_novel_view(tmp_path_factory.mktemp("nv"))


@pytest.fixture(scope="module")
def mvdream(multi_view):
    return open_prior(multi_view).load()


@pytest.fixture(scope="module")
def zero123(novel_view):
    return open_prior(novel_view).load()


def noise(prior, rows, seed=0):
    return torch.randn(rows, *prior.shape, generator=torch.Generator().manual_seed(seed))


def cameras(objects=1):
    return camera_numbers(torch.full((VIEWS * objects,), 15.0), AROUND.repeat(objects))


class TestMultiView:
    def test_a_camera_in_front_and_one_from_the_side(self):
        front, side = camera_numbers(torch.zeros(2), torch.tensor([0.0, 90.0])).view(2, 4, 4)
        # Columns: right, up, backward, place. From +x, right is +y; from +y, right is -x.
        expected = torch.tensor([[0.0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        assert torch.allclose(front, expected, atol=1e-6)
        assert torch.allclose(side[:3, 0], torch.tensor([-1.0, 0, 0]), atol=1e-6)
        assert torch.allclose(side[:3, 3], torch.tensor([0.0, 1, 0]), atol=1e-6)

    def test_cameras_are_rotations_that_look_at_the_origin_from_a_unit_away(self):
        elevation = torch.tensor([-80.0, -10.0, 0.0, 45.0, 89.0], dtype=torch.float64)
        matrices = camera_numbers(elevation, torch.tensor([0.0, 33, 190, -70, 300], dtype=torch.float64)).view(-1, 4, 4)
        turn, place = matrices[:, :3, :3], matrices[:, :3, 3]
        assert torch.allclose(turn.mT @ turn, torch.eye(3, dtype=torch.float64).expand(5, 3, 3), atol=1e-12)
        assert torch.allclose(torch.linalg.det(turn), torch.ones(5, dtype=torch.float64))
        assert torch.allclose(turn[:, :, 2], place) and torch.allclose(place.norm(dim=1), torch.ones(5).double())
        assert torch.allclose(place[:, 2], elevation.deg2rad().sin()) and (turn[:, 2, 1] > 0).all()
        with pytest.raises(ValueError, match="elevation is"):
            camera_numbers(torch.tensor([90.0]), torch.zeros(1))

    def test_views_of_an_object_see_each_other_and_no_other_object(self, mvdream):
        prompt = mvdream.prompt("a cat", 2 * VIEWS, camera=cameras(2)).positive
        x = noise(mvdream, 2 * VIEWS)
        moved = x.clone()
        moved[VIEWS + 1] += 1  # the second view of the second object
        change = (mvdream.noise(moved, 500, prompt) - mvdream.noise(x, 500, prompt)).abs().amax((1, 2, 3))
        assert change[:VIEWS].max() < 1e-6 < 1e-5 < change[VIEWS:].min()

    def test_the_camera_is_told_view_by_view(self, mvdream):
        x = noise(mvdream, VIEWS)
        prompt = mvdream.prompt("a cat", VIEWS, camera=cameras()).positive
        order = [2, 0, 3, 1]
        turned = {"text": prompt["text"], "camera": prompt["camera"][order]}
        said = mvdream.noise(x, 500, prompt)
        assert torch.allclose(mvdream.noise(x[order], 500, turned), said[order], atol=1e-5)
        assert (mvdream.noise(x, 500, turned) - said).abs().max() > 1e-4

    def test_guidance_takes_the_text_away_and_keeps_the_camera(self, mvdream):
        x, prompt = noise(mvdream, VIEWS), mvdream.prompt("a cat", VIEWS, camera=cameras())
        nothing = {"text": mvdream.features([""] * VIEWS), "camera": cameras()}
        empty, positive = mvdream.noise(x, 500, nothing), mvdream.noise(x, 500, prompt.positive)
        said = GuidedPrior(mvdream).noise(x, 500, prompt, 5.0)
        assert torch.allclose(said, empty + 5 * (positive - empty), atol=1e-5)

    def test_rows_that_are_no_whole_objects_are_named(self, mvdream):
        with pytest.raises(ValueError, match="samples have 6 rows, expected a multiple of 4"):
            mvdream.noise(noise(mvdream, 6), 500, mvdream.prompt("a cat", 6, camera=cameras(2)[:6]).positive)

    def test_the_number_of_views_may_be_another(self, multi_view):
        prior = open_prior(multi_view).load(views=2)
        said = prior.noise(noise(prior, 2), 500, prior.prompt("a cat", 2, camera=cameras()[:2]).positive)
        assert said.shape == (2, *prior.shape)

    def test_camera_layers_may_be_a_part_of_their_own(self, multi_view, mvdream, tmp_path):
        folder = tiny_text_to_image(tmp_path / "apart")
        mine = folder / "unet" / "diffusion_pytorch_model.safetensors"
        whole = load_file(multi_view / "unet" / "diffusion_pytorch_model.safetensors")
        camera = {name: value for name, value in whole.items() if name.startswith("class_embedding.")}
        save_file({name: value for name, value in whole.items() if name not in camera}, mine)
        (folder / "camera_proj").mkdir()
        layers = {name.removeprefix("class_embedding."): value for name, value in camera.items()}
        save_file(layers, folder / "camera_proj" / "diffusion_pytorch_model.safetensors")
        change_json(folder / "model_index.json", camera_proj=["camera_proj", "CameraMatrixEmbedding"])
        prior, x = open_prior(folder).load(), noise(mvdream, VIEWS)
        told = mvdream.prompt("a cat", VIEWS, camera=cameras()).positive
        assert torch.equal(prior.noise(x, 500, told), mvdream.noise(x, 500, told))


class TestNovelView:
    def test_the_change_of_camera_in_four_numbers(self):
        wanted = torch.tensor([[10.0, 20.0, 1.5], [-20.0, 110.0, 1.5], [40.0, -70.0, 2.0]])
        expected = [
            [0.0, 0.0, 1.0, 0.0],
            [math.radians(30), 1.0, 0.0, 0.0],
            [-math.radians(30), -1.0, 0.0, 0.5],
        ]
        assert torch.allclose(camera_change((10.0, 20.0, 1.5), wanted), torch.tensor(expected), atol=1e-6)

    def test_the_token_is_the_linear_layer_of_embedding_and_camera(self, zero123):
        image, change = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), torch.randn(5, 4)
        prompt = zero123.prompt(image, change).positive
        said = zero123.image_embedding(image[None]).expand(5, -1)
        layer = zero123.projection
        assert torch.allclose(
            prompt["view"][:, 0], torch.cat([said, change], 1) @ layer.weight.T + layer.bias, atol=1e-5
        )

    def test_the_image_is_resized_and_normalised_as_clip_wants_it(self, zero123, monkeypatch):
        given = []
        encoder = zero123.image_encoder.forward
        monkeypatch.setattr(zero123.image_encoder, "forward", lambda pixels: given.append(pixels) or encoder(pixels))
        zero123.image_embedding(torch.tensor(CLIP_MEAN).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE))
        zero123.image_embedding(torch.ones(1, 3, SIZE, SIZE))
        assert given[0].shape == (1, 3, 12, 12) and given[0].abs().max() < 1e-5
        assert given[1][0, :, 5, 5].tolist() == pytest.approx(
            [(1 - mean) / std for mean, std in zip(CLIP_MEAN, CLIP_STD, strict=True)], rel=1e-4
        )

    def test_its_latents_stand_beside_unscaled(self, zero123):
        image = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        prompt = zero123.prompt(image, torch.zeros(2, 4))
        assert torch.allclose(
            prompt.positive["image"][1] * zero123.vae.config.scaling_factor, zero123.encode(image[None])[0]
        )
        beside, _ = zero123.arguments(noise(zero123, 2), prompt.positive)
        assert torch.equal(beside[:, :4], noise(zero123, 2)) and torch.equal(beside[:, 4:], prompt.positive["image"])

    def test_guidance_takes_image_and_view_away(self, zero123):
        x = noise(zero123, 2)
        prompt = zero123.prompt(torch.full((3, SIZE, SIZE), 0.7), torch.randn(2, 4))
        zeros = {name: torch.zeros_like(value) for name, value in prompt.positive.items()}
        empty, positive = zero123.noise(x, 500, zeros), zero123.noise(x, 500, prompt.positive)
        assert (empty - positive).abs().max() > 1e-4
        said = GuidedPrior(zero123).noise(x, 500, prompt, 3.0)
        assert torch.allclose(said, empty + 3 * (positive - empty), atol=1e-5)

    @pytest.mark.parametrize(
        ("image", "complaint"),
        [(torch.zeros(3, 4, 4), r"images have shape \(1, 3, 4, 4\)"), (-torch.ones(3, SIZE, SIZE), "image is from -1")],
    )
    def test_another_image_is_named(self, zero123, image, complaint):
        with pytest.raises(ValueError, match=complaint):
            zero123.prompt(image, torch.zeros(1, 4))

    def test_the_linear_layer_has_two_names(self, zero123, tmp_path):
        prior = open_prior(tiny_novel_view(tmp_path / "other", "clip_camera_projection", "proj")).load()
        assert torch.equal(prior.projection.weight, zero123.projection.weight)
        assert torch.equal(prior.projection.bias, zero123.projection.bias)

    def test_weights_that_are_no_linear_layer_are_named(self):
        with pytest.raises(ValueError, match=r"has a \(2, 2\), b \(2, 2\), expected the weight and bias"):
            projection_layer({"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)})


def test_a_folder_says_what_it_is(multi_view, novel_view, tmp_path):
    assert open_prior(multi_view).kind == MULTI_VIEW and open_prior(novel_view).kind == NOVEL_VIEW
    copy = shutil.copytree(novel_view, tmp_path / "copy")
    shutil.rmtree(copy / "image_encoder")
    with pytest.raises(FileNotFoundError, match="lacks the part image_encoder/"):
        open_prior(copy)
    change_json(copy / "unet" / "config.json", in_channels=4)
    with pytest.raises(ValueError, match="unet in_channels is 4, expected 8: .*novel-view"):
        open_prior(copy)


def test_missing_weights_of_the_linear_layer_are_named(novel_view, tmp_path):
    copy = shutil.copytree(novel_view, tmp_path / "copy")
    (copy / "cc_projection" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(OSError, match=f"prior {copy} cannot be loaded"):
        open_prior(copy).load()

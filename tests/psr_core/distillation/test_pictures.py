"""Pictures as parameters: what the prior sees of them, that seeds are apart, and that each kind can be fitted."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.pictures import CoordinateMLP, Latents, PictureScene, Pixels, noise_pictures

SEEDS = torch.tensor([3, 8])
SIZE = (12, 8)


class Halved:
    """A prior whose latents are 2 x 2 means of images."""

    shape = (3, 6, 4)

    def encode(self, image):
        return torch.nn.functional.avg_pool2d(image, 2)

    def decode(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def made(kind, seeds=SEEDS):
    if kind == "mlp":
        return CoordinateMLP(seeds, SIZE)
    if kind == "latent":
        return Latents(noise_pictures(Halved.shape, seeds))
    return Pixels(0.5 + 0.1 * noise_pictures((3, *SIZE), seeds))


@pytest.mark.parametrize("kind", ["latent", "pixels", "mlp"])
class TestEveryKind:
    def test_the_prior_sees_what_the_image_is_encoded_to(self, kind):
        picture, prior = made(kind), Halved()
        x, image = picture.sample(prior)
        assert x.shape == (2, *prior.shape) and picture.image(prior).shape == (2, 3, *SIZE)
        if image is None:
            assert torch.equal(picture.image(prior), prior.decode(x))
        else:
            assert torch.equal(picture.image(prior), image) and torch.equal(prior.encode(image), x)
            assert image.min() >= 0 and image.max() <= 1

    def test_a_picture_follows_from_its_seed_and_not_from_its_neighbours(self, kind):
        together, alone, prior = made(kind), made(kind, SEEDS[1:]), Halved()
        assert torch.allclose(together.image(prior)[1:], alone.image(prior), atol=1e-6)
        assert (together.image(prior)[0] - together.image(prior)[1]).abs().max() > 0.01

    def test_a_picture_is_moved_by_its_own_gradient_alone(self, kind):
        picture, prior = made(kind), Halved()
        before = picture.image(prior).detach()
        picture.sample(prior)[0][0].sum().backward()
        torch.optim.SGD(picture.parameters(), lr=0.1).step()
        change = (picture.image(prior) - before).abs().amax((1, 2, 3))
        assert change[0] > 1e-3 and change[1] == 0

    def test_it_can_be_fitted(self, kind):
        picture, prior = made(kind), Halved()
        target = torch.linspace(0.2, 0.8, SIZE[1]).expand(2, 3, *SIZE)
        optimizer = torch.optim.Adam(picture.parameters(), lr=0.01 if kind == "mlp" else 0.05)
        for _ in range(120):
            loss = (picture.sample(prior)[0] - prior.encode(target)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss < 1e-3

    def test_its_state_is_all_there_is(self, kind):
        first, second, prior = made(kind), made(kind, SEEDS + 1), Halved()
        second.load_state_dict(first.state_dict())
        assert torch.equal(first.image(prior), second.image(prior))


def test_pixels_begin_as_the_images_that_they_are_given():
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Pixels(images).image(Halved()), images, atol=1e-3)
    assert Pixels(torch.ones(1, 3, 2, 2)).logits.isfinite().all()


def test_a_coordinate_network_can_draw_finer_than_its_coordinates():
    """The frequencies double from half a picture to about eight pixels."""
    assert CoordinateMLP(SEEDS, (64, 64)).frequencies == 4
    assert CoordinateMLP(SEEDS, (512, 512)).frequencies == 7


def test_the_scene_shows_all_pictures_at_every_step():
    camera = torch.eye(2)
    scene = PictureScene(made("pixels"), Halved(), Prompt(), SEEDS, camera)
    view = scene.view(7)
    assert torch.equal(view.seeds, SEEDS) and view.bins.tolist() == [0, 0] and view.camera is camera
    assert torch.equal(view.image, scene.picture.image(Halved())) and view.x.requires_grad

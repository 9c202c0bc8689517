"""A volume distilled from tiny priors: every method and kind of prior, resuming, divergence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from psr_core.distillation.distill import DivergedError
from psr_core.distillation.methods import METHODS
from psr_core.distillation.prior_folder import open_prior
from psr_core.steering import Steering
from psr_mesh.settings import Regularisers
from psr_mesh.training import MeshTrainer, read_picture
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_multi_view, tiny_novel_view, tiny_text_to_image
from tests.psr_mesh.tiny_meshes import small_settings

KINDS = {"sd": tiny_text_to_image, "mv": tiny_multi_view, "nv": tiny_novel_view}


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    made = {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in KINDS.items()}
    return {kind: open_prior(folder).load() for kind, folder in made.items()}


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.png"
    cv2.imwrite(str(path), np.full((20, 20, 3), (0, 128, 255), np.uint8))
    return str(path)


def trained(settings, prior, steps=None):
    trainer = MeshTrainer(settings, prior, {})
    for _ in range(settings.steps if steps is None else steps):
        trainer.train_step()
    return trainer


def weights(trainer):
    return {name: value.clone() for name, value in trainer.volume.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def reloaded(state, tmp_path):
    torch.save(state, tmp_path / "state.pt")
    return torch.load(tmp_path / "state.pt", weights_only=True)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_moves_the_volume(priors, method):
    trainer = MeshTrainer(small_settings(method), priors["sd"], {})
    before = weights(trainer)
    assert trainer.train_step() > 0
    assert not torch.equal(weights(trainer)["levels.0"], before["levels.0"])
    assert trainer.calls()["guided"] > 0


@pytest.mark.parametrize(("method", "fields"), [("dsd", {}), ("vsd", {}), ("dsd", {"view_prompts": "perp_neg"})])
def test_resumed_it_ends_bit_for_bit_as_if_it_had_not_stopped(priors, tmp_path, method, fields):
    settings = small_settings(method, **fields)
    whole = trained(settings, priors["sd"])
    state = reloaded(trained(settings, priors["sd"], 3).state(), tmp_path)  # after the second level has come in
    rest = MeshTrainer(settings, priors["sd"], {})
    rest.resume(state)
    assert rest.step == 3
    rest.train_step()
    assert same(weights(whole), weights(rest))
    assert whole.calls() == rest.calls()


def test_the_same_seed_gives_the_same_volume_and_another_one_another(priors):
    volumes = [weights(trained(small_settings(seed=seed), priors["sd"], 2)) for seed in (1, 1, 2)]
    assert same(volumes[0], volumes[1]) and not same(volumes[0], volumes[2])


def test_steering_and_guidance_change_the_volume(priors):
    fields = [{}, {"guidance": 2.0}, {"steering": Steering(2.0, 0.5)}]
    plain, guided, steered = (weights(trained(small_settings(**one), priors["sd"], 1)) for one in fields)
    assert not same(plain, guided) and not same(plain, steered)


def test_a_finer_level_waits_for_its_step(priors):
    trainer = trained(small_settings(), priors["sd"], 2)
    assert (weights(trainer)["levels.1"] == 0).all()
    trainer.train_step()
    assert (weights(trainer)["levels.1"] != 0).any()


def test_every_regulariser_moves_the_volume(priors):
    plain = weights(trained(small_settings(), priors["sd"], 1))
    for name in vars(Regularisers()):
        asked = small_settings(regularisers=Regularisers(**{name: 1e4}))
        assert not same(plain, weights(trained(asked, priors["sd"], 1))), name


@pytest.mark.parametrize("pixels", [8, 32])
def test_pictures_of_another_size_are_shown_in_the_priors(priors, pixels):
    trainer = MeshTrainer(small_settings(pixels=pixels), priors["sd"], {})
    assert trainer.scene.view(0).image.shape == (2, 3, SIZE, SIZE)
    assert trainer.scene.rendering.opacity.shape == (2, pixels * pixels)


class TestOtherPriors:
    @pytest.mark.parametrize("method", ["dsd", "sds"])
    def test_several_views_together(self, priors, method):
        trainer = trained(small_settings(method, views=4), priors["mv"], 2)
        assert trainer.calls()["guided"] > 0

    def test_views_must_be_whole_objects(self, priors):
        with pytest.raises(ValueError, match="views is 2, expected a multiple of 4"):
            MeshTrainer(small_settings(), priors["mv"], {})

    @pytest.mark.parametrize("method", ["dsd", "sds"])
    def test_a_picture_says_what_is_asked_for(self, priors, picture, method):
        trained(small_settings(method, image=picture), priors["nv"], 2)

    def test_a_picture_is_missing(self, priors):
        with pytest.raises(ValueError, match="image is missing"):
            MeshTrainer(small_settings(), priors["nv"], {})

    def test_words_are_of_no_use_to_a_prior_of_pictures(self, priors, picture):
        with pytest.raises(ValueError, match="negative is 'a blur', expected none"):
            MeshTrainer(small_settings("nfsd", image=picture), priors["nv"], {})

    def test_a_picture_is_of_no_use_to_a_prior_of_texts(self, priors, picture):
        with pytest.raises(ValueError, match="expected none: this prior is asked by text"):
            MeshTrainer(small_settings(image=picture), priors["sd"], {})

    def test_what_is_no_picture_is_named(self, tmp_path):
        (tmp_path / "cat.png").write_text("meow")
        with pytest.raises(ValueError, match=r"image .*cat.png cannot be read"):
            read_picture(tmp_path / "cat.png", (3, 8, 8))

    def test_transparent_is_white_and_colours_keep_their_order(self, tmp_path):
        pixels = np.zeros((4, 4, 4), np.uint8)
        pixels[:, :2] = (255, 0, 0, 255)  # blue, by OpenCV's order
        cv2.imwrite(str(tmp_path / "half.png"), pixels)
        seen = read_picture(tmp_path / "half.png", (3, 4, 4))
        assert seen[:, 0, 0].tolist() == [0, 0, 1] and seen[:, 0, 3].tolist() == [1, 1, 1]


class TestDivergence:
    @pytest.mark.parametrize(("logit", "complaint"), [(-50.0, "is empty"), (50.0, "fills the whole picture")])
    def test_an_empty_or_full_volume_stops_the_run(self, priors, logit, complaint):
        trainer = MeshTrainer(small_settings(), priors["sd"], {})
        trainer.volume.levels[0].data[0] = logit
        with pytest.raises(DivergedError, match=f"volume {complaint} at iteration 1"):
            trainer.train_step()

    def test_fog_stops_the_run(self, priors):
        trainer = MeshTrainer(small_settings(), priors["sd"], {})
        trainer.volume.levels[0].data[0] = -4.0
        with pytest.raises(DivergedError, match="is fog, opaque nowhere"):
            trainer.train_step()

    def test_numbers_that_are_none_stop_the_run(self, priors):
        trainer = MeshTrainer(small_settings(), priors["sd"], {})
        trainer.volume.levels[0].data[1, 2, 2, 2] = float("nan")
        with pytest.raises(DivergedError, match="not finite at iteration"):
            trainer.train_step()

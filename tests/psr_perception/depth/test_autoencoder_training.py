"""The autoencoder's training: it learns images and depth maps alike, and repeats."""

from __future__ import annotations

import pytest
import torch

from psr_core.latent_training import AutoencoderSettings, encode, random_crops
from psr_perception.depth.autoencoder_training import DepthAutoencoderTrainer
from psr_perception.depth.training_images import load_training_images
from tests.psr_perception.depth.made_up_rooms import write_rooms
from tests.resumption import check_resumed_equals_uninterrupted


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return load_training_images(write_rooms(tmp_path_factory.mktemp("rooms")), 32, 2)


@pytest.fixture
def make_trainer(pictures):
    def make(**settings) -> DepthAutoencoderTrainer:
        wanted = {"steps": 60, "batch_size": 4, "lr": 2e-3, "warmup_steps": 2, "precision": "float32", "crop": 16}
        return DepthAutoencoderTrainer((16, 16), AutoencoderSettings(**{**wanted, **settings}), *pictures)

    return make


def test_images_and_depth_maps_come_back_better(make_trainer):
    trainer = make_trainer()
    before = trainer.errors()
    for _ in range(60):
        trainer.train_step()
    after = trainer.errors()
    assert after["rgb"] < 0.7 * before["rgb"]
    assert after["depth"] < 0.7 * before["depth"]
    assert trainer.validation_loss() == after["depth"]


def test_a_resumed_run_equals_an_uninterrupted_one(make_trainer):
    check_resumed_equals_uninterrupted(make_trainer)


def test_coding_has_no_noise_in_it(make_trainer):
    vae, batch = make_trainer().averaged, torch.rand(2, 3, 16, 16)
    assert torch.equal(encode(vae, batch), encode(vae, batch))
    assert encode(vae, batch).shape == (2, 4, 8, 8)


class TestCrops:
    def test_are_squares_of_the_picture_or_their_mirror_images(self):
        picture = torch.arange(12 * 20).float().reshape(1, 1, 12, 20)
        torch.manual_seed(0)
        mirrored = set()
        for crop in random_crops(picture.expand(40, -1, -1, -1), 8):
            assert crop.shape == (1, 8, 8)
            flipped = bool(crop[0, 0, 0] > crop[0, 0, 1])
            mirrored.add(flipped)
            plain = crop.flip(-1) if flipped else crop
            row, column = divmod(int(plain[0, 0, 0]), 20)
            assert torch.equal(plain, picture[0, :, row : row + 8, column : column + 8])
        assert mirrored == {True, False}

    def test_are_whole_pictures_where_these_are_small(self):
        assert random_crops(torch.zeros(2, 3, 6, 8), 96).shape == (2, 3, 6, 8)


@pytest.mark.parametrize(("changes", "told"), [({"crop": 4}, "crop is 4"), ({"kl_weight": -1.0}, "kl_weight is -1.0")])
def test_settings_out_of_range_are_refused_by_name(changes, told):
    with pytest.raises(ValueError, match=told):
        AutoencoderSettings(**changes)

"""The prior's training: the right target and texts, resumable, and what it leaves both loaders take."""

from __future__ import annotations

import pytest
import torch

from psr_core.latent_training import LatentTrainSettings
from psr_core.object_prior.networks import TextDenoiser, noise_scheduler, small_text_encoder, small_text_unet, tokens_of
from psr_core.object_prior.training import LearnedLatents, PriorDenoiserTrainer, PriorShape, PriorTraining
from psr_core.object_prior.training_pictures import load_pictures
from psr_core.object_prior.words import captions, vocabulary, word_tokenizer
from psr_core.small_networks import parameter_count, small_autoencoder
from tests.object_pictures import COLOURS, write_objects
from tests.resumption import check_resumed_equals_uninterrupted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_objects(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def pictures(folder):
    return load_pictures(folder, 2)


class TestPictures:
    def test_are_those_of_the_folder(self, pictures):
        learned, judged = pictures
        assert (len(learned), len(judged)) == (24, 6)
        batch = learned.colours(torch.tensor([1, 0]))
        assert batch.shape == (2, 3, 16, 16) and batch.dtype == torch.float32
        middle = (batch[:, :, 8, 8] + 1) * 127.5
        assert torch.allclose(middle, torch.tensor([COLOURS["orange"], COLOURS["red"]]).float(), atol=11)

    def test_have_all_their_texts_and_no_others(self, pictures, folder):
        from psr_core.object_folder import read_object_index

        index = read_object_index(folder)
        for split, pictures_of in zip(("train", "test"), pictures, strict=True):
            for place, number in enumerate(index[split]):
                told = [pictures_of.texts[row] for row in pictures_of.said[place]]
                assert told == captions(index["images"][number]) == captions(pictures_of.words[place])

    def test_a_size_that_the_autoencoder_cannot_code_is_refused(self, folder):
        with pytest.raises(ValueError, match="pictures have 16 pixels, expected a multiple of 32"):
            load_pictures(folder, 32)

    def test_a_split_without_pictures_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="split test has no pictures"):
            load_pictures(write_objects(tmp_path, 3, 0), 2)

    def test_many_held_out_are_thinned_evenly(self, tmp_path):
        write_objects(tmp_path, 2, 9)
        thinned = load_pictures(tmp_path, 2, judged=4)[1]
        assert len(thinned) == 3
        assert torch.equal(load_pictures(tmp_path, 2, judged=9)[1].rgb[::3], thinned.rgb)


@pytest.fixture
def make_trainer():
    tokenizer = word_tokenizer(vocabulary(["a red mug"]))
    tokens = tokens_of(tokenizer, ["a mug", "a red mug", "red"])
    torch.manual_seed(0)
    learned, judged = (
        LearnedLatents(torch.randn(count, 4, 4, 4), torch.arange(count)[:, None] % 2 + torch.tensor([[0, 1]]), tokens)
        for count in (12, 5)
    )
    empty = tokens_of(tokenizer, [""])[0]

    def make(**settings) -> PriorDenoiserTrainer:
        wanted = {"steps": 12, "batch_size": 4, "lr": 1e-3, "warmup_steps": 2, "precision": "float32", **settings}
        torch.manual_seed(1)
        network = TextDenoiser(small_text_unet((16, 32), 1, 16, 4), small_text_encoder(len(tokenizer), 16, 1))
        return PriorDenoiserTrainer(network, LatentTrainSettings(**wanted), learned, judged, empty, {})

    return make


class TestDenoiser:
    def test_the_target_is_the_noise_of_the_schedule(self, make_trainer):
        """With the true noise for a network the loss is zero."""
        trainer = make_trainer()
        clean, alphas = trainer.judged.latents[:4], noise_scheduler().alphas_cumprod

        class Oracle(torch.nn.Module):
            def forward(self, noisy, timesteps, tokens):
                alpha_bar = alphas[timesteps][:, None, None, None]
                return (noisy - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()

        torch.manual_seed(0)
        assert trainer.loss(Oracle(), torch.arange(4), judged=True).item() < 1e-6
        assert trainer.loss(Oracle(), torch.arange(4), judged=False).item() > 1e-2

    def test_texts_are_those_of_the_picture_and_left_out_at_times(self, make_trainer):
        trainer = make_trainer()
        torch.manual_seed(0)
        index = torch.zeros(3000, dtype=torch.int64)
        tokens = trainer.random_tokens(trainer.learned, index)
        rows, counts = tokens.unique(dim=0, return_counts=True)
        shares = {tuple(row.tolist()): count / 3000 for row, count in zip(rows, counts.tolist(), strict=True)}
        said = trainer.learned.tokens
        assert set(shares) == {tuple(row.tolist()) for row in (trainer.empty, said[0], said[1])}
        assert shares[tuple(trainer.empty.tolist())] == pytest.approx(0.1, abs=0.03)
        assert shares[tuple(said[0].tolist())] == pytest.approx(0.45, abs=0.04)

    def test_the_text_encoder_learns_with_the_denoiser(self, make_trainer):
        trainer = make_trainer()
        before = {name: weights.clone() for name, weights in trainer.averaged.named_parameters()}
        for _ in range(3):
            trainer.train_step()
        changed = {
            name.split(".")[0]
            for name, weights in trainer.averaged.named_parameters()
            if not torch.equal(weights, before[name])
        }
        assert changed == {"unet", "text_encoder"}

    def test_a_resumed_run_equals_an_uninterrupted_one(self, make_trainer):
        check_resumed_equals_uninterrupted(make_trainer)

    def test_it_learns(self, make_trainer):
        trainer = make_trainer(steps=60)
        losses = [trainer.train_step() for _ in range(60)]
        assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


def test_all_networks_of_the_usual_size_fit_into_20_megabytes():
    shape = PriorShape()
    networks = (
        small_autoencoder(shape.autoencoder_channels),
        small_text_unet(shape.unet_channels, shape.unet_layers, shape.text_width),
        small_text_encoder(400, shape.text_width, shape.text_layers),
    )
    assert parameter_count(*networks) < 10e6
    assert shape.factor == 4


def test_words_are_those_of_the_training_pictures(folder, tmp_path):
    training = PriorTraining(folder, tmp_path, {}, PriorShape(autoencoder_channels=(16, 16)))
    words = {"a", "an", ",", "view", "mug", "table", "red", "orange", "blue", "metal", "wooden"}
    assert set(training.tokenizer.init_kwargs["words"]) == words | {"front", "side", "back", "overhead"}
    assert training.card["data"]["images"] == 24 and len(training.card["data"]["index_sha256"]) == 64

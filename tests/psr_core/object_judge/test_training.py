"""The judge's training: texts true of the pictures, resumable, and it learns what there is to see."""

from __future__ import annotations

import pytest
import torch

from psr_core.object_judge import training
from psr_core.object_judge.network import JudgeShape
from psr_core.object_judge.training import JudgeTrainer, JudgeTrainSettings, save_judge
from psr_core.object_prior.training_pictures import load_pictures
from psr_core.object_prior.words import captions
from tests.object_pictures import write_objects
from tests.resumption import check_resumed_equals_uninterrupted

SHAPE = JudgeShape(patches=4, width=16, layers=1, text_width=16, text_layers=1, features=8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return load_pictures(write_objects(tmp_path_factory.mktemp("objects")), 4)


@pytest.fixture
def make_trainer(pictures):
    def make(**settings) -> JudgeTrainer:
        wanted = {"steps": 12, "batch_size": 6, "lr": 3e-3, "warmup_steps": 2, "precision": "float32", **settings}
        return JudgeTrainer(SHAPE, JudgeTrainSettings(**wanted), *pictures)

    return make


class TestBatch:
    def test_every_text_is_true_of_its_picture_and_of_no_other_that_is_not_said_to_be(self, make_trainer, monkeypatch):
        trainer, seen = make_trainer(batch_size=12), {}
        loss, read = training.contrastive_loss, training.text_features
        monkeypatch.setattr(training, "contrastive_loss", lambda *given: seen.update(true=given[2]) or loss(*given))
        monkeypatch.setattr(
            training, "text_features", lambda clip, tokens: seen.update(tokens=tokens) or read(clip, tokens)
        )
        index = torch.arange(12)
        torch.manual_seed(0)
        trainer.batch_loss(index)
        texts = trainer.tokenizer.batch_decode(seen["tokens"], skip_special_tokens=True)
        texts = [text.replace(" ,", ",") for text in texts]
        told = [captions(trainer._learned.pictures.words[number]) for number in index]
        assert seen["true"].tolist() == [[text in each for text in texts] for each in told]
        assert seen["true"].diagonal().all() and 12 < seen["true"].sum() < 144

    def test_pictures_to_learn_from_are_moved_and_those_to_judge_by_are_not(self, make_trainer, monkeypatch):
        trainer, seen = make_trainer(), []
        see = training.picture_features
        monkeypatch.setattr(training, "picture_features", lambda clip, rgb: seen.append(rgb) or see(clip, rgb))
        index = torch.arange(6)
        torch.manual_seed(0)
        trainer.batch_loss(index)
        trainer.validation_loss()
        assert seen[0].shape == seen[1].shape == (6, 3, 16, 16)
        assert not torch.equal(seen[0], trainer._learned.pictures.colours(index))
        assert torch.equal(seen[1], trainer.judged.colours(index))


class TestTrainer:
    def test_a_resumed_run_equals_an_uninterrupted_one(self, make_trainer):
        check_resumed_equals_uninterrupted(make_trainer)

    def test_it_learns_to_name_the_colours(self, make_trainer, tmp_path):
        """Of the pictures of these tests the colour alone can be seen."""
        trainer = make_trainer(steps=120, batch_size=12)
        for _ in range(120):
            trainer.train_step()
        named = save_judge(trainer, tmp_path / "clip", {"metrics": {}})["named"]
        assert named["colour"]["share"] == 1 and named["colour"]["most_frequent"] < 0.4

    def test_a_batch_of_one_has_nothing_to_be_told_from(self):
        with pytest.raises(ValueError, match="batch_size is 1, expected an integer >= 2"):
            JudgeTrainSettings(batch_size=1)

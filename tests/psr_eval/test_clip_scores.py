"""Scores and features of a CLIP model against the model itself, diversity against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.object_prior.words import word_tokenizer
from psr_eval.clip_scores import ClipScorer, check_prompts, diversity, text_agreement
from tests.tiny_pipelines import tiny_clip

CPU = torch.device("cpu")


class TestScores:
    def test_score_is_the_cosine_of_each_image_with_its_own_prompt(self, tmp_path):
        from transformers import CLIPModel, CLIPProcessor

        folder = tiny_clip(tmp_path)
        images = list(np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8))  # more than a batch
        prompts = [f"prompt {'abcdefghijklmnopqr'[index]}" for index in range(18)]
        scores = ClipScorer(folder, CPU).scores(images, prompts)
        model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
        for index in (0, 7, 17):
            inputs = processor(images=images[index], text=prompts[index], return_tensors="pt")
            with torch.no_grad():
                cosine = model(**inputs).logits_per_image.item() / model.logit_scale.exp().item()
            assert scores[index] == pytest.approx(100 * cosine, abs=1e-3)
        assert len(set(scores.round(3))) > 9

    def test_a_long_prompt_is_cut(self, tmp_path):
        scorer = ClipScorer(tiny_clip(tmp_path), CPU)
        image = np.zeros((32, 32, 3), np.uint8)
        long = "a " * 100
        assert scorer.scores([image], [long]) == pytest.approx(scorer.scores([image], [long + "b"]))

    def test_features_are_of_unit_length_in_one_space(self, tmp_path):
        scorer = ClipScorer(tiny_clip(tmp_path), CPU)
        images = list(np.random.default_rng(0).integers(0, 256, (17, 20, 40, 3), dtype=np.uint8))
        texts = [f"prompt {letter}" for letter in "abcdefghijklmnopq"]
        features = scorer.image_features(iter(images)), scorer.text_features(texts)
        for found in features:
            assert found.shape == (17, scorer.dimension) and found.dtype == np.float64
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-12)
        np.testing.assert_allclose(text_agreement(*features), scorer.scores(images, texts), atol=1e-4)

    def test_nothing_has_no_features(self, tmp_path):
        scorer = ClipScorer(tiny_clip(tmp_path), CPU)
        assert scorer.image_features([]).shape == scorer.text_features([]).shape == (0, scorer.dimension)

    def test_a_word_that_the_model_does_not_know_is_named(self, tmp_path):
        folder = tiny_clip(tmp_path)
        word_tokenizer(["a", "mug"]).save_pretrained(folder)
        check_prompts(folder, ["a mug"])
        for call in (
            lambda: check_prompts(folder, ["a zebra"]),
            lambda: ClipScorer(folder, CPU).text_features(["zebra"]),
        ):
            with pytest.raises(ValueError, match="says 'zebra', which this model does not know; it knows: a mug"):
                call()


class TestDiversity:
    @given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 99))
    def test_is_the_mean_over_all_pairs(self, n, size, seed):
        features = np.random.default_rng(seed).normal(size=(3, n, size))
        features /= np.linalg.norm(features, axis=-1, keepdims=True)
        pairs = [(i, j) for i in range(n) for j in range(i)]
        expected = np.mean([1 - (features[:, i] * features[:, j]).sum(-1) for i, j in pairs], axis=0)
        np.testing.assert_allclose(diversity(features), expected, atol=1e-12)

    def test_of_what_is_alike_is_nothing_and_of_what_is_at_right_angles_one(self):
        assert diversity(np.tile([0.6, 0.8], (7, 1))) == pytest.approx(0, abs=1e-12)
        assert diversity(np.eye(5)) == pytest.approx(1)

    def test_one_image_has_none(self):
        with pytest.raises(ValueError, match=r"features have shape \(1, 4\), expected groups of 2 or more"):
            diversity(np.ones((1, 4)) / 2)

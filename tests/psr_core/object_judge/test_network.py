"""The judge's loss against closed forms, and its folder as transformers loads it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from psr_core.object_judge.network import (
    LARGEST_SCALE,
    JudgeFolder,
    JudgeShape,
    contrastive_loss,
    picture_features,
    small_clip,
    text_features,
)
from psr_core.object_prior.networks import tokens_of
from psr_core.object_prior.words import word_tokenizer
from psr_core.small_networks import parameter_count

SMALL = JudgeShape(patches=4, width=16, layers=1, text_width=16, text_layers=1, features=8)


def unit_vectors(seed: int, count: int, size: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return nn.functional.normalize(torch.randn(count, size, generator=generator, dtype=torch.float64), dim=-1)


class TestLoss:
    @given(st.integers(2, 6), st.integers(0, 99), st.floats(0, 3))
    def test_is_clips_where_no_text_is_true_of_two(self, count, seed, log_scale):
        pictures, texts = unit_vectors(seed, count), unit_vectors(seed + 100, count)
        chances = (math.exp(log_scale) * pictures @ texts.T).exp()
        own = chances.diagonal()
        expected = -(own / chances.sum(0)).log().mean() / 2 - (own / chances.sum(1)).log().mean() / 2
        scale, true = torch.tensor(log_scale, dtype=torch.float64), torch.eye(count, dtype=torch.bool)
        found = contrastive_loss(pictures, texts, true, scale)
        assert found.item() == pytest.approx(expected.item(), rel=1e-9)

    def test_texts_that_are_true_of_all_teach_nothing(self):
        pictures = unit_vectors(0, 4).requires_grad_()
        loss = contrastive_loss(pictures, unit_vectors(1, 4), torch.ones(4, 4, dtype=torch.bool), torch.tensor(2.0))
        loss.backward()
        assert loss.item() == 0 and not pictures.grad.any()

    @given(st.integers(0, 99))
    def test_a_text_said_of_another_but_true_counts_neither_way(self, seed):
        """Pictures 0 and 1 are told from 2 alone, so that how well each fits the other's text does not matter."""
        logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        true = torch.eye(3, dtype=torch.bool)
        true[0, 1] = true[1, 0] = True
        losses = []
        for other in (-0.9, 0.9):
            logits[0, 1] = logits[1, 0] = other
            losses.append(contrastive_loss(torch.eye(3, dtype=torch.float64), logits.T, true, torch.tensor(1.0)).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)

    def test_the_scale_has_a_limit(self):
        vectors, true = unit_vectors(0, 3), torch.eye(3, dtype=torch.bool)
        at = [contrastive_loss(vectors, vectors.flip(0), true, torch.tensor(x)) for x in (math.log(LARGEST_SCALE), 9.0)]
        assert at[0].item() == pytest.approx(at[1].item(), rel=1e-6)


class TestFolder:
    def test_transformers_and_the_judge_see_the_same(self, tmp_path):
        """Pictures prepared by the folder's processor become the features that the judge was trained with."""
        from transformers import CLIPModel, CLIPProcessor

        torch.manual_seed(0)
        tokenizer = word_tokenizer(["a", "mug", "red"])
        clip = small_clip(SMALL, len(tokenizer), 16)
        JudgeFolder(clip, tokenizer).save_pretrained(tmp_path)
        loaded = CLIPModel.from_pretrained(tmp_path, dtype=torch.float32)
        processor = CLIPProcessor.from_pretrained(tmp_path, local_files_only=True)
        rgb, texts = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8), ["a mug", "a red mug", "red"]
        inputs = processor(images=list(rgb), text=texts, return_tensors="pt", padding=True)
        found = loaded(**inputs)
        pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.no_grad():
            torch.testing.assert_close(found.image_embeds, picture_features(clip, pictures), atol=1e-5, rtol=0)
            own = text_features(clip, tokens_of(tokenizer, texts))
        torch.testing.assert_close(found.text_embeds, own, atol=1e-5, rtol=0)
        assert (found.text_embeds[0] - found.text_embeds[1]).abs().max() > 1e-3
        assert clip.dtype == torch.float32

    def test_the_usual_size_is_small(self):
        assert 1e6 < parameter_count(small_clip(JudgeShape(), 250, 64)) < 3e6

"""Where pictures are in the space of a tiny CLIP model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_eval.clip_space import ClipSpace
from tests.tiny_pipelines import tiny_clip


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return ClipSpace(tiny_clip(tmp_path_factory.mktemp("clip")), torch.device("cpu"))


def pictures(number):
    return np.random.default_rng(0).integers(0, 256, (number, 40, 32, 3), np.uint8)


def test_features_are_of_unit_length_and_in_order(space):
    images = pictures(18)  # more than a batch
    found = space.image_features(iter(images))
    assert found.dtype == np.float64 and np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert np.allclose(found[17:], space.image_features(images[17:]), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_scores_are_inner_products_with_the_features(space):
    images, texts = pictures(6), ["a cat", "a dog"]
    features = space.image_features(images)
    scores = np.stack([space.scores(images, [text] * 6) for text in texts], 1) / 100
    embedding = np.linalg.lstsq(features, scores, rcond=None)[0]
    assert np.allclose(features @ embedding, scores, atol=1e-5)
    assert scores == pytest.approx(np.clip(scores, -1, 1)) and np.abs(scores[:, 0] - scores[:, 1]).max() > 1e-4

"""The small Marigold: the pipeline's own form, in any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core.small_networks import small_autoencoder
from psr_core.steering import Steering
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.settings import DepthSettings
from psr_perception.depth.small_marigold import (
    empty_prompt,
    noise_scheduler,
    small_pipeline,
    small_unet,
)

CHANNELS = (16, 32)


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    return small_pipeline(small_autoencoder(CHANNELS), small_unet(CHANNELS), steps=3, resolution=32)


class TestPipeline:
    def test_is_loaded_from_its_folder_without_a_network(self, pipeline, tmp_path):
        pipeline.save_pretrained(tmp_path)
        loaded = load_depth_pipeline(tmp_path)
        image = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
        settings = DepthSettings(num_inference_steps=2, processing_resolution=32)
        first, second = (
            DepthEstimator(each).estimate(image, settings, Steering(), 0).relative for each in (pipeline, loaded)
        )
        np.testing.assert_allclose(first, second, atol=1e-5)  # where weights lie in memory moves the last bits

    def test_says_how_it_is_used_best(self, pipeline):
        settings = DepthEstimator(pipeline).default_settings
        assert (settings.num_inference_steps, settings.processing_resolution) == (3, 32)

    def test_the_text_encoder_is_always_the_same(self, pipeline):
        other = small_pipeline(small_autoencoder(CHANNELS), small_unet(CHANNELS))
        assert torch.equal(empty_prompt(pipeline), empty_prompt(other))

    def test_the_empty_prompt_is_what_the_pipeline_attends_to(self, pipeline):
        image = np.zeros((8, 8, 3), np.uint8)
        DepthEstimator(pipeline).estimate(image, DepthSettings(1, processing_resolution=0), Steering(), 0)
        pipeline(torch.zeros(1, 3, 8, 8), num_inference_steps=1, processing_resolution=0, output_type="pt")
        assert torch.equal(pipeline.empty_text_embedding, empty_prompt(pipeline))


def test_the_first_step_sees_no_signal():
    assert noise_scheduler().alphas_cumprod[-1] == pytest.approx(0, abs=1e-6)

"""What a depth model learns from: sizes, normalisation, what is left out and held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.depth.training_images import load_training_images, normalized_depth, scaled_size
from tests.psr_perception.depth.made_up_rooms import write_rooms


class TestNormalizedDepth:
    @given(scale=st.floats(0.1, 10), shift=st.floats(0, 5))
    def test_scale_and_shift_of_the_scene_are_taken_out(self, scale, shift):
        depth = np.random.default_rng(0).uniform(1, 3, (20, 30))
        valid = np.ones(depth.shape, bool)
        moved = normalized_depth(scale * depth + shift, valid)
        np.testing.assert_allclose(moved, normalized_depth(depth, valid), atol=1e-5)

    def test_the_percentiles_become_the_ends_and_order_stays(self):
        depth = np.linspace(1, 2, 1001)[None]
        scaled = normalized_depth(depth, np.ones(depth.shape, bool))[0]
        assert scaled[0] == -1 and scaled[-1] == 1
        assert (np.diff(scaled) >= 0).all()
        assert scaled[20] == pytest.approx(-1, abs=1e-6) and scaled[980] == pytest.approx(1, abs=1e-6)
        assert scaled[500] == pytest.approx(0, abs=1e-6)

    def test_invalid_pixels_are_far_and_do_not_count(self):
        depth = np.array([[1.0, 2.0, 3.0, np.inf]])
        scaled = normalized_depth(depth, np.isfinite(depth))
        assert scaled[0, 3] == 1
        np.testing.assert_allclose(scaled[:, :3], normalized_depth(depth[:, :3], np.ones((1, 3), bool)))


class TestLoading:
    def test_every_fiftieth_image_is_held_out(self, tmp_path):
        images, judged = load_training_images(write_rooms(tmp_path, 60), 32, 4)
        assert (len(images), len(judged)) == (58, 2)
        assert images.rgb.shape == (58, 3, 24, 32) and images.rgb.dtype == torch.uint8
        assert images.depth.shape == (58, 24, 32)
        assert float(images.depth.min()) == -1 and float(images.depth.max()) == 1

    def test_pictures_are_what_the_autoencoder_takes(self, tmp_path):
        images, _ = load_training_images(write_rooms(tmp_path, 4), 32, 4)
        index = torch.tensor([2, 0])
        for batch in (images.colours(index), images.depths(index)):
            assert batch.shape == (2, 3, 24, 32) and batch.dtype == torch.float32
            assert batch.min() >= -1 and batch.max() <= 1
        assert torch.equal(images.depths(index)[:, 0], images.depth[index].float())
        assert torch.equal(((images.colours(index) + 1) * 127.5).round().byte(), images.rgb[index])

    def test_mirrored_ones_are_the_same_from_the_other_side(self, tmp_path):
        images, _ = load_training_images(write_rooms(tmp_path, 4), 32, 4)
        mirrored = images.mirrored()
        assert torch.equal(mirrored.rgb[..., 0], images.rgb[..., -1])
        assert torch.equal(mirrored.depth[..., 3], images.depth[..., -4])
        assert torch.equal(mirrored.mirrored().depth, images.depth)

    def test_images_are_scaled(self, tmp_path):
        images, _ = load_training_images(write_rooms(tmp_path, 4), 16, 4)
        assert images.rgb.shape[2:] == (12, 16)

    def test_images_with_little_depth_are_left_out(self, tmp_path):
        images, judged = load_training_images(write_rooms(tmp_path, 10, invalid=(3, 4)), 32, 4)
        assert len(images) + len(judged) == 8

    def test_a_folder_with_nothing_to_learn_from_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="has 1 usable training images, expected 2 or more"):
            load_training_images(write_rooms(tmp_path, 1), 32, 4)

    def test_a_resolution_that_the_autoencoder_cannot_code_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"resolution 30 makes 22 x 30 pixels .* expected multiples of 4"):
            load_training_images(write_rooms(tmp_path, 2), 30, 4)


@given(height=st.integers(8, 300), width=st.integers(8, 300))
def test_the_longer_side_gets_the_resolution(height, width):
    assert max(scaled_size((height, width), 64, 1)) == 64

"""Small networks: the sizes that follow from what they are asked for."""

from __future__ import annotations

import math

import pytest
import torch

from psr_core.small_networks import parameter_count, small_autoencoder


@pytest.mark.parametrize("channels", [(16, 32), (16, 16, 32)])
def test_the_sides_of_latents_follow_from_the_levels(channels):
    latents = small_autoencoder(channels).encode(torch.zeros(1, 3, 16, 24)).latent_dist.mode()
    factor = 2 ** (len(channels) - 1)
    assert latents.shape == (1, 4, 16 // factor, 24 // factor)


def test_parameters_are_counted():
    assert parameter_count(torch.nn.Linear(3, 2), torch.nn.Linear(1, 1)) == 10


class TestUntrainedAutoencoder:
    """What colours need to be learnt early: nothing in their way but convolutions, and latents that are not noise."""

    def test_has_blocks_that_change_nothing(self):
        vae, x = small_autoencoder((16, 16, 32)), torch.rand(1, 16, 8, 8)
        assert torch.equal(vae.encoder.down_blocks[0].resnets[0](x, None), x)
        middle = torch.rand(1, 32, 4, 4)
        assert torch.equal(vae.decoder.mid_block(middle), middle)

    def test_tells_colours_from_each_other(self):
        torch.manual_seed(0)
        vae = small_autoencoder((16, 16, 32))
        colours = torch.eye(3)[:, :, None, None].expand(3, 3, 16, 16) * 2 - 1
        latents = vae.encode(colours).latent_dist.mode().mean((2, 3))
        assert torch.linalg.matrix_rank(latents - latents.mean(0), rtol=0.1) == 2

    def test_tells_brightness_apart(self):
        torch.manual_seed(0)
        vae = small_autoencoder((16, 16, 32))
        levels = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 16, 16)
        latents = vae.encode(levels).latent_dist.mode().mean((2, 3))
        assert (latents[1:] - latents[:-1]).norm(dim=1).min() > 0.05

    def test_has_latents_with_little_noise(self):
        found = small_autoencoder((16, 32)).encode(torch.rand(2, 3, 16, 16)).latent_dist
        torch.testing.assert_close(found.std, torch.full_like(found.std, math.exp(-3)))
        assert found.mean.std() > 2 * found.std.mean()

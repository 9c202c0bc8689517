"""Small networks: the sizes that follow from what they are asked for."""

from __future__ import annotations

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

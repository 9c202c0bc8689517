"""Networks of diffusers' own classes that are small enough to train without a GPU."""

from __future__ import annotations

from diffusers import AutoencoderKL
from torch import nn

LATENT_CHANNELS = 4
GROUPS = 8


def small_autoencoder(channels: tuple[int, ...] = (32, 48, 64)) -> AutoencoderKL:
    """A VAE with random weights whose latents have 1 / 2**(len(channels) - 1) of the image's sides, 4 channels."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=list(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=GROUPS,
        mid_block_add_attention=False,  # what is coded stays near its place, so that any size can be coded
        scaling_factor=1.0,
    )


def parameter_count(*networks: nn.Module) -> int:
    """How many weights the networks have."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters())

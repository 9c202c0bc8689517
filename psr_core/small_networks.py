"""Networks of diffusers' own classes that are small enough to train without a GPU."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

LATENT_CHANNELS = 4
GROUPS = 8
NEARLY_LINEAR = 0.3  # weight of an untrained autoencoder's last norms: small enough for SiLU to bend little
OTHERS = 0.3  # of what a convolution of diffusers begins with, beside identity
FIRST_LOG_VARIANCE = -6.0  # of an untrained autoencoder's latents: a standard deviation of .05


def small_autoencoder(channels: tuple[int, ...] = (16, 32, 64)) -> AutoencoderKL:
    """A VAE with random weights whose latents have 1 / 2**(len(channels) - 1) of the image's sides, 4 channels."""
    levels = len(channels)
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=list(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,  # more groups take colours and brightness away from what is coded
        mid_block_add_attention=False,  # what is coded stays near its place, so that any size can be coded
        scaling_factor=1.0,
    )
    _let_colours_through(vae)
    return vae


def _let_colours_through(vae: AutoencoderKL) -> None:
    """Residual blocks begin as what goes round them, other convolutions near identity, latents with little noise.

    Otherwise colours are what is learnt last. On pictures of rooms (channels 16, 32, 64, crops of 96 pixels, 85 steps)
    the mean error of 2 was .13 to .14, without the convolutions .19, with 8 groups of channels, too, .21: what grey
    pictures have.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
    for part in (vae.encoder, vae.decoder):
        nn.init.constant_(part.conv_norm_out.weight, NEARLY_LINEAR)
        for name, module in part.named_modules():
            if isinstance(module, nn.Conv2d) and not name.endswith(("conv1", "conv2")):
                _bring_near_identity(module)
    log_variance = slice(LATENT_CHANNELS, None)
    nn.init.zeros_(vae.quant_conv.weight[log_variance])
    nn.init.constant_(vae.quant_conv.bias[log_variance], FIRST_LOG_VARIANCE)


@torch.no_grad()
def _bring_near_identity(convolution: nn.Conv2d) -> None:
    """Each channel that goes in comes out under its own number, with a little of all others."""
    convolution.weight.mul_(OTHERS).add_(nn.init.dirac_(torch.empty_like(convolution.weight)))


def parameter_count(*networks: nn.Module) -> int:
    """How many weights the networks have."""
    return sum(parameter.numel() for network in networks for parameter in network.parameters())

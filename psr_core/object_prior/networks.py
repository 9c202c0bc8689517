"""A Stable Diffusion small enough to be shipped, and to train without a GPU: the pipeline's own classes."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from psr_core.object_prior.words import BEGIN, END, PAD, TOKENS
from psr_core.small_networks import GROUPS, LATENT_CHANNELS

HEADS = 4  # of attention to a text


def small_text_config(tokens: int, width: int = 128, layers: int = 2) -> CLIPTextConfig:
    """A text encoder's configuration for a vocabulary of so many tokens."""
    return CLIPTextConfig(
        vocab_size=tokens,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
        max_position_embeddings=TOKENS,
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=HEADS,
        num_hidden_layers=layers,
    )


def small_text_encoder(tokens: int, width: int = 128, layers: int = 2) -> CLIPTextModel:
    """A text encoder with random weights for a vocabulary of so many tokens."""
    return CLIPTextModel(small_text_config(tokens, width, layers))


def small_text_unet(
    channels: tuple[int, ...] = (64, 96, 160), layers: int = 1, width: int = 128, side: int = 16
) -> UNet2DConditionModel:
    """A denoiser with random weights: noisy latents (4, side, side) and a text's features in, their noise out.

    The finest level attends to nothing, which is where attention would take most of the time.
    """
    coarser = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * coarser),
        up_block_types=(*["CrossAttnUpBlock2D"] * coarser, "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,  # of heads, whatever the name says
        norm_num_groups=GROUPS,
    )


class TextDenoiser(nn.Module):
    """A UNet and the text encoder that it is trained with."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """The noise (B, 4, h, w) of noisy latents at timesteps (B,), of texts (B, TOKENS) int64."""
        said = self.text_encoder(tokens)[0]
        noise: Tensor = self.unet(noisy, timesteps, said).sample
        return noise


def noise_scheduler() -> DDIMScheduler:
    """The noise of Stable Diffusion."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="epsilon",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def prior_pipeline(vae: AutoencoderKL, denoiser: TextDenoiser, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """The pipeline of these networks, ready for save_pretrained."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=denoiser.unet,
        scheduler=noise_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Texts as (N, TOKENS) int64."""
    tokens: Tensor = tokenizer(texts, padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
    return tokens.to(torch.int64)

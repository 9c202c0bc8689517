"""A Marigold small enough to train without a GPU: the pipeline's own classes, a few million weights."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, MarigoldDepthPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from psr_core.small_networks import GROUPS, LATENT_CHANNELS

TEXT_WIDTH = 32  # of the empty prompt's features, which carry nothing but belong to the form


def small_unet(channels: tuple[int, ...] = (32, 64, 128), layers: int = 1) -> UNet2DConditionModel:
    """A denoiser with random weights: image latents and noisy depth latents in, v of the depth latents out.

    Only the coarsest level, of 1 / 2**(len(channels) - 1) of the latents' sides, attends to everything in the picture:
    attention at the others took a quarter of a training step.
    """
    finer = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=None,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=(*["DownBlock2D"] * finer, "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", *["UpBlock2D"] * finer),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # of heads, whatever the name says
        norm_num_groups=GROUPS,
    )


def noise_scheduler() -> DDIMScheduler:
    """The noise of Marigold v1-1: no signal at all at the first step (zero SNR), trailing timesteps, v-prediction."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def small_pipeline(
    vae: AutoencoderKL, unet: UNet2DConditionModel, steps: int = 10, resolution: int = 0
) -> MarigoldDepthPipeline:
    """The pipeline of these two networks, ready for save_pretrained; its text encoder is the same every time.

    steps, resolution: what it does unless told otherwise (resolution of the longer side, pixels; 0: the image's own).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=4,
                bos_token_id=2,
                eos_token_id=3,
                pad_token_id=0,
                hidden_size=TEXT_WIDTH,
                intermediate_size=TEXT_WIDTH,
                num_attention_heads=4,
                num_hidden_layers=1,
            )
        )
    return MarigoldDepthPipeline(
        unet=unet,
        vae=vae,
        scheduler=noise_scheduler(),
        text_encoder=text_encoder,
        tokenizer=_wordless_tokenizer(),
        prediction_type="depth",
        scale_invariant=True,
        shift_invariant=True,
        default_denoising_steps=steps,
        default_processing_resolution=resolution,
    )


@torch.no_grad()
def empty_prompt(pipeline: MarigoldDepthPipeline) -> Tensor:
    """The features (1, tokens, TEXT_WIDTH) that the pipeline's UNet attends to."""
    tokens = pipeline.tokenizer("", return_tensors="pt").input_ids
    features: Tensor = pipeline.text_encoder(tokens.to(pipeline.text_encoder.device))[0]
    return features


def _wordless_tokenizer() -> CLIPTokenizer:
    """Knows only the beginning and the end of a text: all that an empty prompt is made of."""
    words = ["<|pad|>", "<|unk|>", "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
        merges.write_text("#version: 0.2\n")
        return CLIPTokenizer(
            str(vocabulary), str(merges), unk_token="<|unk|>", pad_token="<|pad|>", model_max_length=77
        )

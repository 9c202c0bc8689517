"""Tiny diffusers pipelines and scoring networks with random weights, made on the spot: real classes, no network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, MarigoldDepthPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)

WIDTH = 32  # of the text features, which the UNet attends to
# The noise schedule of Stable Diffusion and of Marigold.
SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def tiny_stable_diffusion(folder: Path) -> Path:
    """Saves a StableDiffusionPipeline without a safety checker (epsilon prediction) to `folder` and returns it.

    Latents are 4 x H/2 x W/2 (vae_scale_factor 2), so 32 pixels a side are enough. Same weights on every call.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=_text_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            unet=_unet(in_channels=4),
            scheduler=DDIMScheduler(**SCHEDULE, prediction_type="epsilon"),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def tiny_marigold(folder: Path) -> Path:
    """Saves a MarigoldDepthPipeline (v_prediction) to `folder` and returns it. Same weights on every call.

    Latents are 4 x H/2 x W/2 (vae_scale_factor 2); by default 4 steps at the image's own resolution.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = MarigoldDepthPipeline(
            unet=_unet(in_channels=8),
            vae=_vae(),
            scheduler=DDIMScheduler(**SCHEDULE, prediction_type="v_prediction"),
            text_encoder=_text_encoder(),
            tokenizer=tiny_tokenizer(folder / "tokenizer"),
            prediction_type="depth",
            scale_invariant=True,
            shift_invariant=True,
            default_denoising_steps=4,
            default_processing_resolution=0,
        )
    pipeline.save_pretrained(folder)
    return folder


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer that knows the lower-case letters, so that different prompts have different tokens."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    special = ["<|pad|>", "<|unk|>", "<|startoftext|>", "<|endoftext|>"]
    words = [*special, *letters, *(f"{letter}</w>" for letter in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token="<|unk|>",
        pad_token="<|pad|>",
        model_max_length=77,
    )


def _unet(in_channels: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[32, 64],
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D", "DownEncoderBlock2D"],
        up_block_types=["UpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        sample_size=32,
    )


def _text_encoder() -> CLIPTextModel:
    return CLIPTextModel(_text_config())


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        hidden_size=WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=64,
    )


def tiny_clip(folder: Path) -> Path:
    """Saves a CLIPModel with its processor (images of 30 pixels) to `folder` and returns it. Same weights each time."""
    vision = {"hidden_size": WIDTH, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    config = CLIPConfig(
        text_config=_text_config().to_dict(),
        vision_config=CLIPVisionConfig(**vision, image_size=30, patch_size=6).to_dict(),
        projection_dim=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})
    CLIPProcessor(pictures, tiny_tokenizer(folder)).save_pretrained(folder)
    return folder


def tiny_inception(path: Path) -> Path:
    """Saves a TorchScript network called like FID's Inception, with 12 features. Same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.jit.script(_TinyInception()).save(str(path))
    return path


class _TinyInception(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(12, 12)

    def forward(self, pixels: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert pixels.dtype == torch.uint8 and pixels.shape[1] == 3
        features = self.project(torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 127.5 - 1, 2).flatten(1))
        return features if return_features else features.softmax(1)

"""Tiny folders of the three kinds of prior, made on the spot: diffusers' own classes, random weights, no network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.tiny_pipelines import SCHEDULE, tiny_tokenizer

WIDTH = 16  # of text features and tokens
SIZE = 16  # pixels of a side; latents have half of it


def tiny_text_to_image(folder: Path, prediction_type: str = "epsilon", **unet) -> Path:
    """A Stable Diffusion folder. Same weights on every call, whatever the prediction type."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _save_common(folder, prediction_type, _unet(**unet))
        CLIPTextModel(_text_config()).save_pretrained(folder / "text_encoder")
    tiny_tokenizer(folder / "tokenizer").save_pretrained(folder / "tokenizer")
    _index(
        folder,
        "StableDiffusionPipeline",
        text_encoder=["transformers", "CLIPTextModel"],
        tokenizer=["transformers", "CLIPTokenizer"],
    )
    return folder


def tiny_multi_view(folder: Path) -> Path:
    """A folder of MVDream's kind: the camera's layers are the UNet's class embedding."""
    return tiny_text_to_image(folder, class_embed_type="projection", projection_class_embeddings_input_dim=16)


def tiny_novel_view(folder: Path, part: str = "cc_projection", layer: str = "projection") -> Path:
    """A folder of Zero-1-to-3's kind. part, layer: what the linear layer's folder and tensors are called."""
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = CLIPVisionConfig(**vision, image_size=12, patch_size=6, projection_dim=WIDTH)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _save_common(folder, "epsilon", _unet(in_channels=8))
        CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")
        linear = torch.nn.Linear(WIDTH + 4, WIDTH)
    (folder / part).mkdir()
    weights = {f"{layer}.{name}": value.detach() for name, value in linear.named_parameters()}
    save_file(weights, str(folder / part / "diffusion_pytorch_model.safetensors"))
    _index(
        folder,
        "Zero1to3StableDiffusionPipeline",
        image_encoder=["transformers", "CLIPVisionModelWithProjection"],
        **{part: ["pipeline_zero1to3", "CCProjection"]},
    )
    return folder


def change_json(path: Path, **fields) -> None:
    """Changes fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def _save_common(folder: Path, prediction_type: str, unet: UNet2DConditionModel) -> None:
    unet.save_pretrained(folder / "unet")
    _vae().save_pretrained(folder / "vae")
    DDIMScheduler(**SCHEDULE, prediction_type=prediction_type).save_pretrained(folder / "scheduler")


def _index(folder: Path, name: str, **parts) -> None:
    common = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    common = {part: ["diffusers", kind] for part, kind in common.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name, **common, **parts}))


def _unet(**options) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": SIZE // 2,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (16, 16),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": WIDTH,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
            **options,
        }
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[8, 8],
        down_block_types=["DownEncoderBlock2D", "DownEncoderBlock2D"],
        up_block_types=["UpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=64,
    )

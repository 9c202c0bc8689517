"""Loads Marigold depth pipelines: weights from safetensors only, and every refusal names the folder and the cure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, LCMScheduler, MarigoldDepthPipeline
from safetensors import SafetensorError

from psr_core.devices import torch_device
from psr_core.schedulers import steer
from psr_core.steering import Steering

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CLASSES = ("MarigoldDepthPipeline", "MarigoldPipeline")  # the second is what the first releases were called
NETWORKS = ("unet", "vae", "text_encoder")
PARTS = (*NETWORKS, "scheduler", "tokenizer")
# What diffusers, transformers and safetensors raise for files that are not there, cut short, or of another network.
UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError)
EXPECTED = "expected a Marigold depth pipeline as diffusers saves it, such as prs-eth/marigold-depth-v1-1"


def load_depth_pipeline(
    checkpoint: str | Path,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = torch.float32,
    tiny_autoencoder: str | Path | None = None,
) -> MarigoldDepthPipeline:
    """The depth pipeline of a diffusers folder or hub id, on the device, its scheduler steerable (k = 1).

    dtype: float32, bfloat16 or, not on the CPU, float16; torch's or by name. tiny_autoencoder: folder or hub id of an
    AutoencoderTiny that takes the place of the VAE: faster, less detail. Folders need no network. Pickles and foreign
    code are never executed. Raises OSError or ValueError naming the folder, what was expected, and the cure.
    """
    place, number_type = torch_device(device), _dtype(dtype)
    check_half(place, number_type)
    folder = _checked_folder(checkpoint, "checkpoint")
    _check_class(checkpoint, folder)
    pipeline = _load(MarigoldDepthPipeline, checkpoint, folder, number_type)
    if not isinstance(pipeline.scheduler, (DDIMScheduler, LCMScheduler)):
        raise ValueError(
            f"checkpoint {checkpoint} has a {type(pipeline.scheduler).__name__}, but Marigold's loop is made for "
            "DDIMScheduler or LCMScheduler; put one of them into scheduler/scheduler_config.json and model_index.json"
        )
    if pipeline.config.prediction_type == "disparity":
        raise ValueError(f"checkpoint {checkpoint} predicts disparity, not depth; {EXPECTED}")
    if tiny_autoencoder is not None:
        pipeline.vae = _tiny_autoencoder(tiny_autoencoder, number_type, pipeline.vae)
    return steer(pipeline.to(place), Steering())


def check_half(device: torch.device, dtype: torch.dtype) -> None:
    """Raises ValueError for float16 on the CPU."""
    if device.type == "cpu" and dtype == torch.float16:
        raise ValueError("dtype is float16 and device is cpu, where it is slow and overflows; use float32 or bfloat16")


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if found not in DTYPES.values():
        raise ValueError(f"dtype is {dtype!r}, expected one of: {', '.join(DTYPES)}")
    return found  # type: ignore[return-value]


def _checked_folder(model: str | Path, name: str) -> Path | None:
    """The local folder that `model` names, or None for a hub id. Raises FileNotFoundError or ValueError."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise ValueError(f"{name} {folder} is a file, expected a folder as diffusers saves it; give the folder")
    if isinstance(model, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return None
    raise FileNotFoundError(
        f"{name} folder {folder} does not exist, nor is it a hub id of the form owner/name; download one with "
        "`hf download prs-eth/marigold-depth-v1-1 --local-dir FOLDER` and give that FOLDER"
    )


def _check_class(checkpoint: str | Path, folder: Path | None) -> None:
    """Refuses what is no depth pipeline, or lacks a part, before its weights are read."""
    if folder is not None and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"checkpoint folder {folder} holds no model_index.json; {EXPECTED}")
    index = _reading(checkpoint, folder, lambda: MarigoldDepthPipeline.load_config(folder or checkpoint))
    found = index.get("_class_name")
    if found not in CLASSES:  # a list says: run the code that lies in the folder
        raise ValueError(f"checkpoint {folder or checkpoint} is a {found}; {EXPECTED}")
    if folder is None:
        return
    for part in PARTS:
        if not (folder / part).is_dir():
            raise FileNotFoundError(f"checkpoint folder {folder} lacks the part {part}/; download it again, whole")
    for part in NETWORKS:
        _check_weights(folder / part)


def _check_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")):
        raise ValueError(
            f"model folder {folder} holds .bin weights only: pickles, which are never executed here. Where you trust "
            "them: DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW_FOLDER)"
        )
    raise FileNotFoundError(f"model folder {folder} holds no .safetensors weights; download it again, whole")


def _load(kind: Any, model: str | Path, folder: Path | None, dtype: torch.dtype) -> Any:
    named = {"dtype": dtype, "use_safetensors": True, "local_files_only": folder is not None}
    return _reading(model, folder, lambda: kind.from_pretrained(str(folder or model), **named))


def _reading(model: str | Path, folder: Path | None, read: Any) -> Any:
    try:
        return read()
    except UNREADABLE as error:
        cure = "is its download complete? Download it again"
        if folder is None:
            cure = (
                "there is no folder of that name, and the Hugging Face cache and hub were asked in vain. Download it "
                f"where there is a network (`hf download {model} --local-dir FOLDER`), then give FOLDER"
            )
        raise OSError(f"{folder or model} cannot be loaded: {str(error).rstrip('. ')}; {cure}") from None


def _tiny_autoencoder(model: str | Path, dtype: torch.dtype, vae: Any) -> AutoencoderTiny:
    """Raises ValueError where its latents are not like those of `vae`: they go to the same UNet."""
    folder = _checked_folder(model, "tiny_autoencoder")
    if folder is not None:
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"tiny_autoencoder folder {folder} holds no config.json; use madebyollin/taesd")
        _check_weights(folder)
    found = _reading(model, folder, lambda: AutoencoderTiny.load_config(folder or model)).get("_class_name")
    if found != "AutoencoderTiny":
        raise ValueError(f"tiny_autoencoder {model} is a {found}, expected an AutoencoderTiny; use madebyollin/taesd")
    tiny = _load(AutoencoderTiny, model, folder, dtype)
    for what, there, here in (
        ("latent channels", vae.config.latent_channels, tiny.config.latent_channels),
        ("resolutions", len(vae.config.block_out_channels), len(tiny.config.encoder_block_out_channels)),
        ("resolutions of its decoder", len(vae.config.block_out_channels), len(tiny.config.block_out_channels)),
    ):
        if there != here:
            raise ValueError(
                f"tiny_autoencoder {model} has {here} {what}, but the checkpoint's VAE has {there}; use one that was "
                "distilled from the same VAE (madebyollin/taesd for Stable Diffusion 1 and 2, and Marigold)"
            )
    return tiny

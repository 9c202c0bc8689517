"""Priors from diffusers folders and hub ids: what a folder holds is known, and refused, before its weights are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from psr_core.devices import torch_device
from psr_core.diffusers_folder import local_folder, reading
from psr_core.distillation import multiview
from psr_core.distillation.latents import LatentPrior, latent_factor, latent_side, levels_of, prediction_kind
from psr_core.distillation.multiview import MultiViewPrior
from psr_core.distillation.novel_view import NovelViewPrior, projection_layer
from psr_core.distillation.stable_diffusion import StableDiffusionPrior

TEXT, MULTI_VIEW, NOVEL_VIEW = "text-to-image", "multi-view", "novel-view"
CAMERA_PARTS = ("camera_proj",)  # MVDream's camera layers, where they are not in the UNet as its class embedding
PROJECTION_PARTS = ("cc_projection", "clip_camera_projection")  # what Zero-1-to-3's linear layer is called
WEIGHTS = "diffusion_pytorch_model.safetensors"
# What a UNet of these would want to be told beside text, view or camera.
NO_MORE = ("addition_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")


@dataclass(frozen=True)
class PriorFolder:
    """A diffusers folder or hub id whose configuration is that of a prior; open_prior() makes it.

    kind: TEXT (Stable Diffusion), MULTI_VIEW (MVDream) or NOVEL_VIEW (Zero-1-to-3). folder: None for a hub id.
    """

    model: str
    folder: Path | None
    kind: str
    index: Mapping[str, Any]
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    scheduler: Any

    def load(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        size: int | None = None,
        **options: Any,
    ) -> LatentPrior:
        """The prior, its networks on the device in a dtype; size: pixels of a side, None for the model's own.

        options: `empty` of StableDiffusionPrior, `views` of MultiViewPrior. Weights come from safetensors only. Raises
        ValueError, before the weights are read, for a device or size that cannot be had, OSError for missing weights.
        """
        place = torch_device(device)
        if size is not None:
            latent_side(size, latent_factor(self.vae))

        def part(kind: Any, name: str) -> Any:
            named = {**self._named(name), "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
            network, report = self._read(lambda: kind.from_pretrained(**named))
            if missing := sorted(report["missing_keys"]):  # they would be random numbers
                raise ValueError(f"prior {self.model}: {name} lacks {len(missing)} weights, such as {missing[0]}")
            return network.to(place)

        common = (part(diffusers.UNet2DConditionModel, "unet"), part(diffusers.AutoencoderKL, "vae"), self.scheduler)
        if self.kind == NOVEL_VIEW:
            encoder = part(CLIPVisionModelWithProjection, "image_encoder")
            projection = projection_layer(self._weights(_present(self.index, PROJECTION_PARTS)))
            return NovelViewPrior(*common, encoder, projection.to(place, dtype), size)
        text = (part(CLIPTextModel, "text_encoder"), self._read(lambda: self._from(CLIPTokenizer, "tokenizer")))
        if self.kind == TEXT:
            return StableDiffusionPrior(*common, *text, size=size, **options)
        if apart := _present(self.index, CAMERA_PARTS):
            self._give_camera_layers(common[0], self._weights(apart))
        return MultiViewPrior(*common, *text, size=size, **options)

    def _give_camera_layers(self, unet: Any, weights: Mapping[str, Tensor]) -> None:
        """Puts the layers of a separate part where the UNet adds its class embedding to that of the timestep."""
        layers = diffusers.models.embeddings.TimestepEmbedding(
            multiview.CAMERA, unet.time_embedding.linear_2.out_features
        )
        self._read(lambda: layers.load_state_dict(weights))
        unet.class_embedding = layers.to(unet.device, unet.dtype)

    def _weights(self, part: str) -> dict[str, Tensor]:
        if self.folder is None:
            path = self._read(lambda: hf_hub_download(self.model, WEIGHTS, subfolder=part))
        else:
            path = str(self.folder / part / WEIGHTS)
        weights: dict[str, Tensor] = self._read(lambda: safetensors.torch.load_file(path))
        return weights

    def _from(self, kind: Any, name: str) -> Any:
        return kind.from_pretrained(**self._named(name))

    def _named(self, part: str) -> dict[str, Any]:
        return named_part(self.model, self.folder, part)

    def _read(self, read: Callable[[], Any]) -> Any:
        return reading(self.model, self.folder, read, "prior")


def open_prior(model: str | Path) -> PriorFolder:
    """What a diffusers folder or hub id holds, from its configuration alone.

    Raises OSError or ValueError naming the folder, the field and what was expected: for what is no prior of a kind
    known here, another prediction type, noise schedule or number of channels, and missing parts.
    """
    model = str(model)
    folder = local_folder(model, "prior")

    def config(kind: Any, part: str) -> Any:
        read = getattr(kind, "load_config", None) or kind.from_pretrained  # diffusers', or transformers'
        return reading(model, folder, lambda: read(**named_part(model, folder, part)), "prior")

    index = reading(model, folder, lambda: diffusers.DiffusionPipeline.load_config(str(folder or model)), "prior")
    _check_parts(model, folder, index, ("unet", "vae", "scheduler"))
    unet, vae = config(diffusers.UNet2DConditionModel, "unet"), config(diffusers.AutoencoderKL, "vae")
    try:
        scheduler = _scheduler(config(diffusers.DDIMScheduler, "scheduler"))
        prediction_kind(scheduler.config)
        levels_of(scheduler)
        kind = _kind(index, unet)
        _check_unet(unet, vae, kind)
    except ValueError as error:
        raise ValueError(f"prior {model}: {error}") from None
    own = ("image_encoder",) if kind == NOVEL_VIEW else ("text_encoder", "tokenizer")
    _check_parts(model, folder, index, own)
    encoder = config(CLIPVisionConfig if kind == NOVEL_VIEW else CLIPTextConfig, own[0])
    width = encoder.projection_dim if kind == NOVEL_VIEW else encoder.hidden_size
    if unet["cross_attention_dim"] != width:
        given = f"unet cross_attention_dim is {unet['cross_attention_dim']}"
        raise ValueError(f"prior {model}: {given}, expected {width}, the width of what {own[0]} says")
    return PriorFolder(model, folder, kind, index, unet, vae, scheduler)


def named_part(model: str, folder: Path | None, part: str) -> dict[str, Any]:
    """What from_pretrained() and load_config() are told to find a part of a folder or hub id."""
    return {
        "pretrained_model_name_or_path": str(folder or model),
        "subfolder": part,
        "local_files_only": folder is not None,
    }


def _present(index: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Which of these parts the index names, "" for none."""
    return next((name for name in names if index.get(name, [None])[0]), "")


def _check_parts(model: str, folder: Path | None, index: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not _present(index, (name,)):
            raise ValueError(f"prior {model} has no {name} in model_index.json; expected a whole pipeline")
        if folder is not None and not (folder / name).is_dir():
            raise FileNotFoundError(f"prior folder {folder} lacks the part {name}/; download it again, whole")


def _scheduler(config: Mapping[str, Any]) -> Any:
    """The model's own scheduler, of whose class only the table of noise levels matters."""
    name = str(config.get("_class_name"))
    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if kind is None:
        raise ValueError(f"scheduler is {name}, expected one of diffusers' such as DDIMScheduler")
    return kind.from_config(config)


def _kind(index: Mapping[str, Any], unet: Mapping[str, Any]) -> str:
    if unet.get("_class_name") != "UNet2DConditionModel":
        raise ValueError(
            f"unet is a {unet.get('_class_name')}, expected a UNet2DConditionModel; convert weights of another layout"
        )
    if _present(index, PROJECTION_PARTS):
        return NOVEL_VIEW
    camera = unet.get("class_embed_type") == "projection" and (
        unet.get("projection_class_embeddings_input_dim") == multiview.CAMERA
    )
    return MULTI_VIEW if camera or _present(index, CAMERA_PARTS) else TEXT


def _check_unet(unet: Mapping[str, Any], vae: Mapping[str, Any], kind: str) -> None:
    """Raises ValueError naming the field of a UNet that could not be called as a prior of this kind is."""
    latent = vae["latent_channels"]
    expected = {"in_channels": 2 * latent if kind == NOVEL_VIEW else latent, "out_channels": latent}
    for name, value in expected.items():
        if unet[name] != value:
            why = f"the autoencoder's latents have {latent}, and the folder is a {kind} model by its parts"
            raise ValueError(f"unet {name} is {unet[name]}, expected {value}: {why}")
    for name in NO_MORE:
        if unet.get(name) is not None:
            raise ValueError(f"unet {name} is {unet[name]!r}, expected none: it asks for more than a {kind} prompt")
    if kind != MULTI_VIEW and (unet.get("class_embed_type") or unet.get("num_class_embeds")):
        raise ValueError(f"unet class_embed_type is {unet.get('class_embed_type')!r}, expected none for a {kind} model")
    if vae.get("shift_factor") or vae.get("latents_mean"):
        raise ValueError("vae has shift_factor or latents_mean, expected latents that are scaled alone")
    if unet.get("sample_size") is None:
        raise ValueError("unet sample_size is None, expected the side of its latents")

"""A diffusion UNet on the latents of an autoencoder: what the priors of Stable Diffusion's family have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.levels import Levels
from psr_core.distillation.prior import Condition
from psr_core.predictions import clean_and_noise

KINDS = ("epsilon", "v_prediction")


class LatentPrior:
    """Samples are latents (C, H / factor, W / factor) of images (3, H, W) from 0 to 1.

    unet, vae, scheduler: of diffusers, the networks are frozen. size: side of the images in pixels, None for the UNet's
    own. Computed in the networks' dtype, answered in the dtype of what is given; gradients pass through. Raises
    ValueError for a prediction type, a noise schedule or a size that cannot be had.
    """

    conditions: tuple[str, ...] = ()

    def __init__(self, unet: Any, vae: Any, scheduler: Any, size: int | None = None) -> None:
        self.unet, self.vae = frozen(unet), frozen(vae)
        self.kind, self.levels = prediction_kind(scheduler.config), levels_of(scheduler)
        self.factor = latent_factor(vae.config)
        sides = _sides(unet.config.sample_size if size is None else latent_side(size, self.factor))
        self.shape: tuple[int, ...] = (vae.config.latent_channels, *sides)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W) of the images that the latents stand for."""
        return (self.vae.config.in_channels, self.shape[1] * self.factor, self.shape[2] * self.factor)

    @property
    def parts(self) -> dict[str, Any]:
        """The networks by name."""
        return {"unet": self.unet, "vae": self.vae}

    def noise(self, x: Tensor, t: float, condition: Condition, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """As every prior's. weights: take the place of the UNet's own of these names, for networks learned beside it.

        Times between whole ones are given to the UNet as they are; below the first it sees the first.
        """
        level = self.levels.level(t)
        timestep = torch.full((len(x),), max(t - 1, 0), dtype=torch.float32, device=x.device)
        arguments, named = self.arguments(x.to(self.unet.dtype), condition)
        call = (arguments, timestep), {**named, "return_dict": False}
        said = torch.func.functional_call(self.unet, dict(weights or {}), *call)[0]
        return clean_and_noise(self.kind, said, x, level)[1].to(x.dtype)

    def arguments(self, x: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Any]]:
        """What the UNet is handed for x and a condition: its sample, and further arguments by name."""
        raise NotImplementedError

    def unconditional(self, x: Tensor) -> Condition:
        """As every prior's."""
        raise NotImplementedError

    def encode(self, image: Tensor) -> Tensor:
        """The scaled means (B, C, h, w) of the latents of images (B, 3, H, W)."""
        scale: float = self.vae.config.scaling_factor
        return (self.latent_mode(image) * scale).to(image.dtype)

    def latent_mode(self, image: Tensor) -> Tensor:
        """The same, as the autoencoder has them. Raises ValueError for images of another size."""
        if tuple(image.shape[1:]) != self.image_shape:
            expected = ", ".join(["B", *map(str, self.image_shape)])
            raise ValueError(f"images have shape {tuple(image.shape)}, expected ({expected}), the prior's")
        mode: Tensor = self.vae.encode((2 * image - 1).to(self.vae.dtype)).latent_dist.mode()
        return mode

    def decode(self, x: Tensor) -> Tensor:
        """The images (B, 3, H, W) of latents, cut to 0 to 1."""
        image: Tensor = self.vae.decode(x.to(self.vae.dtype) / self.vae.config.scaling_factor, return_dict=False)[0]
        return ((image + 1) / 2).clamp(0, 1).to(x.dtype)


def frozen(network: Any) -> Any:
    """The network as a part of a prior: in evaluation mode, its weights not to be changed."""
    return network.requires_grad_(False).eval()


def prediction_kind(config: Mapping[str, Any]) -> str:
    """What the UNet predicts by its scheduler's configuration. Raises ValueError for another than KINDS."""
    kind: str = config.get("prediction_type", "epsilon")
    if kind not in KINDS:
        raise ValueError(f"scheduler prediction_type is {kind!r}, expected one of: {', '.join(KINDS)}")
    return kind


def levels_of(scheduler: Any) -> Levels:
    """The noise levels that the UNet was trained at. Raises ValueError where there is no such table, or one to zero."""
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        expected = "one with a table of noise levels, such as DDIMScheduler: flow matching is not distilled here"
        raise ValueError(f"scheduler is {type(scheduler).__name__}, expected {expected}")
    if float(table[-1]) < 1e-6:
        raise ValueError(
            "scheduler ends at pure noise (rescale_betas_zero_snr), where a prediction says nothing of the clean "
            "sample; expected a model trained without"
        )
    return Levels(tuple(table.double().tolist()))


def latent_factor(vae: Mapping[str, Any]) -> int:
    """Pixels to a latent, along a side, by the autoencoder's configuration."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))


def latent_side(size: int, factor: int) -> int:
    """Latents along a side of `size` pixels. Raises ValueError unless it is a multiple of the factor."""
    if size < factor or size % factor:
        raise ValueError(f"size is {size} pixels, expected a multiple of {factor}, as the prior's autoencoder needs")
    return size // factor


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])

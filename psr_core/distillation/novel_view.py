"""Zero-1-to-3 as a prior: an image and the change of camera say what is asked for.

What makes it of Stable Diffusion: the latents of the image stand beside the noisy ones along the channels, unscaled,
and instead of text there is one token: the image's CLIP embedding and four numbers of the camera, through a linear
layer. Guidance takes both away: zeros. Source: Liu et al. 2023 (Zero-1-to-3), section 3.2, and its code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.latents import LatentPrior, frozen
from psr_core.distillation.prior import Condition

CAMERA = 4  # numbers of a change of camera
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class NovelViewPrior(LatentPrior):
    """A condition has view (B, 1, C), the token, and image (B, 4, h, w), the unscaled latents of what was seen.

    projection: the linear layer, C + 4 numbers to C. For the rest see LatentPrior.
    """

    conditions: tuple[str, ...] = ("view", "image")

    def __init__(
        self, unet: Any, vae: Any, scheduler: Any, image_encoder: Any, projection: nn.Linear, size: int | None = None
    ) -> None:
        super().__init__(unet, vae, scheduler, size)
        self.image_encoder, self.projection = frozen(image_encoder), frozen(projection)

    @property
    def parts(self) -> dict[str, Any]:
        return {**super().parts, "image_encoder": self.image_encoder, "projection": self.projection}

    @torch.no_grad()
    def prompt(self, image: Tensor, cameras: Tensor) -> Prompt:
        """The prompt of as many rows as there are cameras (B, 4), such as camera_change() makes, for one image.

        image: (3, H, W) from 0 to 1, the object in front of white. Raises ValueError for another size or range.
        """
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"image is from {image.min():g} to {image.max():g}, expected 0 to 1")
        rows = len(cameras)
        seen = self.latent_mode(image[None])
        said = self.image_embedding(image[None]).expand(rows, -1)
        token = self.projection(torch.cat([said, cameras.to(said)], -1))
        return Prompt({"view": token[:, None], "image": seen.expand(rows, -1, -1, -1)})

    def image_embedding(self, images: Tensor) -> Tensor:
        """CLIP's embedding (B, C) of images (B, 3, H, W), resized as in training: bicubic, corners kept."""
        side = self.image_encoder.config.image_size
        resized = nn.functional.interpolate(images.float(), (side, side), mode="bicubic", align_corners=True)
        mean, std = (resized.new_tensor(one).view(3, 1, 1) for one in (CLIP_MEAN, CLIP_STD))
        embedding: Tensor = self.image_encoder(((resized - mean) / std).to(self.image_encoder.dtype)).image_embeds
        return embedding

    def arguments(self, x: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Any]]:
        beside = torch.cat([x, condition["image"].to(x)], 1)
        return beside, {"encoder_hidden_states": condition["view"].to(x)}

    def unconditional(self, x: Tensor) -> Condition:
        return {"view": x.new_zeros(len(x), 1, self.projection.out_features), "image": torch.zeros_like(x)}


def camera_change(seen: tuple[float, float, float], wanted: Tensor) -> Tensor:
    """What Zero-1-to-3 knows of cameras that look at the object: (B, 4).

    seen: elevation and azimuth in degrees and distance of the image's camera; wanted: (B, 3), those of the new ones.
    The numbers: change of the polar angle (90 degrees less the elevation) in radians, sine and cosine of the change of
    azimuth, change of distance. Azimuth grows as the dataset's renderer had it, counter-clockwise from above.
    """
    elevation, azimuth, distance = wanted.unbind(-1)
    around = (azimuth - seen[1]).deg2rad()
    return torch.stack(
        [math.radians(seen[0]) - elevation.deg2rad(), around.sin(), around.cos(), distance - seen[2]], -1
    )


def projection_layer(weights: Mapping[str, Tensor]) -> nn.Linear:
    """The linear layer of a `cc_projection` or `clip_camera_projection`. Raises ValueError for other weights."""
    matrices = [value for value in weights.values() if value.ndim == 2]
    biases = [value for value in weights.values() if value.ndim == 1]
    if len(weights) != 2 or len(matrices) != 1 or len(biases) != 1:
        given = ", ".join(f"{name} {tuple(value.shape)}" for name, value in weights.items())
        raise ValueError(f"camera projection has {given}, expected the weight and bias of one linear layer")
    (matrix,), (bias,) = matrices, biases
    layer = nn.Linear(matrix.shape[1], matrix.shape[0])
    layer.load_state_dict({"weight": matrix, "bias": bias})
    return layer

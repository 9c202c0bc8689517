"""MVDream as a prior: a text-to-image UNet that sees several views of an object together, and knows their cameras.

What makes it of Stable Diffusion: the numbers of a view's camera pass two linear layers and are added to the embedding
of the timestep; self-attention is over the tokens of all views of an object; guidance takes away the text alone.
Source: Shi et al. 2023 (MVDream), section 3.1, and its code.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from psr_core.distillation.prior import Condition
from psr_core.distillation.stable_diffusion import StableDiffusionPrior

CAMERA = 16  # numbers of a camera
VIEWS = 4  # that MVDream's released weights see together


class MultiViewPrior(StableDiffusionPrior):
    """A StableDiffusionPrior whose conditions also have camera (B, 16), such as camera_numbers() makes.

    Rows stand view by view within object by object: (object 0 view 0, object 0 view 1, ..., object 1 view 0, ...), the
    same number of `views` for each. unet: with a class embedding of CAMERA numbers. A trajectory (DSD) depends on all
    cameras of an object, so bins must say which set of views a row belongs to. For the rest see StableDiffusionPrior.
    """

    conditions: tuple[str, ...] = ("text", "camera")

    def __init__(self, unet: Any, *parts: Any, views: int = VIEWS, **named: Any) -> None:
        super().__init__(unet, *parts, **named)
        self.views = views
        joined = JoinedViews(views)
        kinds = {
            name: joined if name.endswith("attn1.processor") else AttnProcessor2_0() for name in unet.attn_processors
        }
        unet.set_attn_processor(kinds)

    def arguments(self, x: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Any]]:
        if len(x) % self.views:
            expected = f"a multiple of {self.views}, the views of an object side by side"
            raise ValueError(f"samples have {len(x)} rows, expected {expected}")
        x, named = super().arguments(x, condition)
        return x, {**named, "class_labels": condition["camera"].to(x)}


class JoinedViews:
    """Self-attention (B, L, C) over the tokens of every `views` rows together."""

    def __init__(self, views: int) -> None:
        self.views, self._attend = views, AttnProcessor2_0()

    def __call__(self, attn: Any, hidden_states: Tensor, *rest: Any, **named: Any) -> Tensor:
        batch, length, width = hidden_states.shape
        joined = hidden_states.reshape(batch // self.views, self.views * length, width)
        attended: Tensor = self._attend(attn, joined, *rest, **named)
        return attended.reshape(batch, length, width)


def camera_numbers(elevation: Tensor, azimuth: Tensor) -> Tensor:
    """What MVDream knows of cameras that look at the origin: (B, 16), the camera-to-world matrices row by row.

    elevation (above -90, below 90), azimuth: degrees (B,); z is up, azimuth 0 looks from +x, 90 from +y. Camera axes: x
    right, y up, z backward. The camera's place is on the unit sphere, whatever its distance.
    """
    if (elevation.abs() >= 90).any():
        raise ValueError(f"elevation is {elevation.tolist()}, expected above -90 and below 90 degrees")
    up, around = elevation.deg2rad(), azimuth.deg2rad()
    place = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], -1)
    right = torch.stack([-around.sin(), around.cos(), torch.zeros_like(around)], -1)
    above = torch.cross(place, right, dim=-1)
    top = torch.stack([right, above, place, place], -1)
    bottom = top.new_tensor([0, 0, 0, 1]).expand(len(top), 1, 4)
    return torch.cat([top, bottom], 1).flatten(1)

"""How the networks of a depth model are trained, and in which precision."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from psr_core.training import TrainSettings

PRECISIONS = ("bfloat16", "float32")


@dataclass(frozen=True)
class DepthTrainSettings(TrainSettings):
    """An item of a batch is an image. precision: of the arithmetic while a network learns; its weights are float32.

    On processors with bfloat16 matrix units a step takes half the time or less.
    """

    steps: int = 10000
    batch_size: int = 16
    lr: float = 5e-4
    warmup_steps: int = 300
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    grad_clip: float = 1.0
    ema_max: float = 0.999
    precision: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of: {', '.join(PRECISIONS)}")


def lower_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Where convolutions and products of matrices are rounded to the precision; float32 leaves all as it is."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

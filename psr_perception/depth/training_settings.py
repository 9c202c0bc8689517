"""How the networks of a depth model are trained, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

from psr_core.devices import require_precision
from psr_core.training import TrainSettings


@dataclass(frozen=True)
class DepthTrainSettings(TrainSettings):
    """An item of a batch is an image. precision: of the arithmetic while a network learns; its weights are float32."""

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
        require_precision(self.precision)

"""Entropic score distillation: VSD that also rewards renderings for differing between cameras."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from psr_core.distillation.method import View
from psr_core.distillation.vsd import VSD


@dataclass(kw_only=True)
class ESD(VSD):
    """VSD whose critic is `entropy` times the one without camera and 1 - entropy times the one with.

    Four guided predictions an iteration. Views must bear cameras. Source: Wang et al. 2024 (arXiv 2401.00909).
    """

    name = "esd"

    entropy: float = 0.5
    cameras: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_between("entropy", 0, 1)
        self.require_least("cameras", 1)

    def rendered_noise(self, x: Tensor, t: int, view: View) -> Tensor:
        anywhere = self._critic.noise(x, t, view, None)
        return anywhere.lerp(self._critic.noise(x, t, view, view.camera), 1 - self.entropy)

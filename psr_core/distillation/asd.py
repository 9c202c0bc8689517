"""Asynchronous score distillation: the noise is what the prior says at a noisier level, not what was drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from psr_core.distillation.method import Method, View
from psr_core.distillation.schedule import SlidingTimes, Times


@dataclass(kw_only=True)
class ASD(Method):
    """w(t) (eps(x_t) - eps(x_{t+d})), both noised by the same fresh eps. Two guided predictions an iteration.

    d is uniform from 0 to `shift` (t - T low), low the share of T below which no level is looked at.
    source_guidance: g of the second prediction. Source: Ma et al. 2024 (ScaleDreamer), equation 9, and its code.
    """

    name = "asd"
    guidances = ("guidance", "source_guidance")

    source_guidance: float = 1.0
    shift: float = 0.1
    low: float = 0.02
    times: Times = field(default_factory=SlidingTimes)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_between("shift", 0, 1)
        self.require_between("low", 0, 1)

    def gradient(self, view: View, step: int) -> Tensor:
        """The class's formula, as Method.gradient: both predictions are of the same noise."""
        t, eps = self.time(step), self.draw(view, step)
        room = max(0, t - self.prior.levels.at(self.low))
        later = t + int(self.uniform(step) * self.shift * room)
        later = min(later, self.prior.levels.last)
        there = self.predict(self.noised(view.x, eps, later), later, view, self.source_guidance)
        return self.weight(t) * (self.predict(self.noised(view.x, eps, t), t, view) - there)

"""Consistent3D: one noise for the whole run, and a step of the deterministic flow between two levels."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from psr_core.distillation.method import Method, View
from psr_core.distillation.noise import FIXED
from psr_core.distillation.schedule import AnnealedTimes, Times


@dataclass(kw_only=True)
class Consistent3D(Method):
    """w (eps(z_t) - eps(z_t')), where z_t = x noised to t by the fixed noise, and z_t' follows from it by a DDIM step.

    t' is `times`, and t noisier by a draw from `lead` (shares of T). The sign is that of the released code: x moves
    towards eps(z_t') - eps(z_t), which is stable, against the sign of the flow of x̂0. Two guided predictions an
    iteration. Source: Wu et al. 2024 (CVPR), algorithm 1, and its code.
    """

    name = "consistent3d"

    weighting: str = "uniform"
    lead: tuple[float, float] = (0.1, 0.299)
    times: Times = field(default_factory=lambda: AnnealedTimes(0.7, 0.1, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.lead) != 2 or not 0 < self.lead[0] <= self.lead[1] < 1:
            raise ValueError(f"consistent3d.lead is {self.lead}, expected two rising shares of T between 0 and 1")

    def gradient(self, view: View, step: int) -> Tensor:
        """The class's formula, as Method.gradient: one step of the trajectory, from farther to nearer."""
        levels, nearer = self.prior.levels, self.time(step)
        share = self.lead[0] + self.uniform(step) * (self.lead[1] - self.lead[0])
        farther = min(nearer + levels.at(share), levels.last)
        z = view.x + levels.ratio(farther) * self.draw(view, 0, FIXED)
        far = self.predict(self.level(farther).alpha * z, farther, view)
        z = z + (levels.ratio(nearer) - levels.ratio(farther)) * far
        return self.weight(nearer) * (far - self.predict(self.level(nearer).alpha * z, nearer, view))

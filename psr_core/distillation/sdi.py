"""Score distillation via inversion: the noise is regressed from the rendering, not drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from psr_core.distillation.inversion import inversion_times, invert
from psr_core.distillation.method import Method, View
from psr_core.distillation.noise import ENTROPY, FIXED
from psr_core.distillation.schedule import AnnealedTimes, Times

CHOICES = ("inversion", "random", "fixed", "fixed_point", "sgd")


@dataclass(kw_only=True)
class SDI(Method):
    """w(t) (eps(x_t) - kappa), x_t = x noised to t by kappa, the noise that the prior would predict of it at t + tau.

    kappa: "inversion" of DDIM, or "random", "fixed", or by `search_steps` "fixed_point" iterations or steps of "sgd"
    at `search_rate`, from random noise. inversion_guidance: g of all that regresses it; the thesis has -7.5 beside
    guidance 7.5. inversion_steps: in all of T. tau: a draw of up to lead T / inversion_steps. entropy: standard
    deviation of noise added to an inverted kappa. Source: thesis on SDI, equation 4.6, section 6.2 and algorithm 3.
    """

    name = "sdi"
    guidances = ("guidance", "inversion_guidance")

    weighting: str = "ratio"
    times: Times = field(default_factory=lambda: AnnealedTimes(0.98, 0.25))
    kappa: str = "inversion"
    inversion_guidance: float = 1.0
    inversion_steps: int = 10
    lead: float = 1.0
    entropy: float = 0.0
    search_steps: int = 10
    search_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("kappa", CHOICES)
        self.require_least("inversion_steps", 1)
        self.require_least("search_steps", 1)
        self.require_between("lead", 0, 1)
        self.require_between("entropy", 0, 1e3)
        self.require_between("search_rate", 0, 1e3)

    def gradient(self, view: View, step: int) -> Tensor:
        t = self.time(step)
        spacing = self.prior.levels.last / self.inversion_steps
        later = min(t + int(self.uniform(step) * self.lead * spacing), self.prior.levels.last)
        kappa = self.regressed(view, t, later, step)
        return self.weight(t) * (self.predict(self.noised(view.x, kappa, t), t, view) - kappa)

    def regressed(self, view: View, t: int, later: int, step: int) -> Tensor:
        """kappa (B, *shape) at time later >= t: nearly a solution of kappa = eps(x noised by kappa)."""
        if self.kappa == "inversion":
            times = inversion_times(self.prior.levels, t, later, self.inversion_steps)
            x = invert(self.prior, view.x, times, view.prompt, self.inversion_guidance)
            level = self.level(later)
            kappa = (x - level.alpha * view.x) / level.sigma_t
            return kappa + self.entropy * self.draw(view, step, ENTROPY) if self.entropy else kappa
        kappa = self.draw(view, 0, FIXED) if self.kappa == "fixed" else self.draw(view, step)
        if self.kappa in ("fixed_point", "sgd"):
            for _ in range(self.search_steps):
                kappa = self._closer(view, later, kappa)
        return kappa

    def _closer(self, view: View, t: int, kappa: Tensor) -> Tensor:
        if self.kappa == "fixed_point":
            return self.predict(self.noised(view.x, kappa, t), t, view, self.inversion_guidance)
        with torch.enable_grad():
            kappa = kappa.detach().requires_grad_()
            miss = self.predict(self.noised(view.x, kappa, t), t, view, self.inversion_guidance) - kappa
            (slope,) = torch.autograd.grad(miss.square().sum(), kappa)
        return (kappa - self.search_rate * slope).detach()

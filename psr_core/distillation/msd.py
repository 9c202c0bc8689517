"""Mean-shift distillation: up the density blurred by a bandwidth, along the mean of samples near the rendering."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from psr_core.distillation.inversion import inversion_times, invert
from psr_core.distillation.method import Method, View
from psr_core.distillation.noise import SAMPLER
from psr_core.distillation.product import denoised, paper_product_sample, product_sample

SAMPLERS = ("exact", "paper", "tweedie")


@dataclass(kw_only=True)
class MSD(Method):
    """-m, m = mean of `samples` of p(z) N(z; x, l²) less x: l² times the gradient of log p blurred by l.

    bandwidth falls linearly to last_bandwidth, standard deviations in x's units. sampler: "exact" (2 sampler_steps
    guided predictions a sample), "tweedie" (the mean itself by one prediction, where the prior is right about clean
    samples), or "paper": the kernel pulls at ratios inside `interval`, towards x noised by inversion if noised_target.
    threshold: the run is finished when the norm of every row's m is below; 0 never.
    Source: Thamizharasan et al. 2025, equations 6 to 15; the exact sampler: psr_core.distillation.product.
    """

    name = "msd"

    bandwidth: float = 1.0
    last_bandwidth: float = 0.2
    sampler: str = "exact"
    samples: int = 1
    sampler_steps: int = 10
    threshold: float = 0.0
    interval: tuple[float, float] = (0.0, math.inf)
    noised_target: bool = False
    inversion_steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("sampler", SAMPLERS)
        for name in ("samples", "sampler_steps", "inversion_steps"):
            self.require_least(name, 1)
        largest = self.prior.levels.ratio(self.prior.levels.last)
        self.require_between("bandwidth", 1e-6, largest)
        self.require_between("last_bandwidth", 1e-6, self.bandwidth)
        self.require_between("threshold", 0, 1e6)

    def width(self, step: int) -> float:
        """The bandwidth of an iteration."""
        return self.bandwidth + step / max(1, self.steps - 1) * (self.last_bandwidth - self.bandwidth)

    def gradient(self, view: View, step: int) -> Tensor:
        shift = self.mean(view, step) - view.x
        self.finished = bool((shift.flatten(1).norm(dim=1) < self.threshold).all())
        return -shift

    def mean(self, view: View, step: int) -> Tensor:
        """The mean (B, *shape) of the samples about the view."""
        width = self.width(step)
        if self.sampler == "tweedie":
            return denoised(self.prior, view.x, width, view.prompt, self.guidance)
        rows = view.rows(torch.arange(len(view.x), device=view.x.device).repeat(self.samples))
        noise = torch.cat([self.draw(view, step, SAMPLER, draw) for draw in range(self.samples)])
        common = (self.prior, rows.x, width, noise, rows.prompt, self.guidance, self.sampler_steps)
        if self.sampler == "exact":
            drawn = product_sample(*common)
        else:
            drawn = paper_product_sample(*common, self.interval, self._target_noise(rows))
        return drawn.view(self.samples, *view.x.shape).mean(0)

    def _target_noise(self, view: View) -> Tensor | None:
        if not self.noised_target:
            return None
        last = self.prior.levels.last
        x = invert(
            self.prior, view.x, inversion_times(self.prior.levels, last, last, self.inversion_steps), view.prompt, 1.0
        )
        level = self.level(last)
        return (x - level.alpha * view.x) / level.sigma_t

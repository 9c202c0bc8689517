"""Noise-free score distillation: the prediction taken apart, and its noise left out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from psr_core.distillation.method import Method, View


@dataclass(kw_only=True)
class NFSD(Method):
    """w(t) (delta_D + g delta_C): delta_C = eps_cond - eps_uncond, and delta_D = eps_uncond below `threshold` (a share
    of T), above it eps_uncond - eps_negative, which stands for what is not natural about x_t.

    One prediction of three conditions an iteration; the prompt must have a negative one, and the prior conditions.
    Source: Katzir et al. 2024 (arXiv 2310.17590).
    """

    name = "nfsd"

    threshold: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_between("threshold", 0, 1)
        if not self.prior.prior.conditions:
            raise ValueError("nfsd takes a prior's prediction apart by its conditions, but this prior takes none")

    def check(self, view: View) -> None:
        super().check(view)
        if view.prompt.negative is None:
            raise ValueError("nfsd: prompt negative is missing, expected the condition to move away from")

    def gradient(self, view: View, step: int) -> Tensor:
        """As Method.gradient: what the domain wants, and the condition's pull times the guidance."""
        t, negative = self.time(step), view.prompt.negative
        x = self.noised(view.x, self.draw(view, step), t)
        conditions = [self.prior.unconditional(x, view.prompt), view.prompt.positive]
        if t >= self.prior.levels.at(self.threshold) and negative is not None:
            conditions.append(negative)
        empty, positive, *unnatural = self.prior.predictions(x, t, conditions)
        domain = empty - unnatural[0] if unnatural else empty
        return self.weight(t) * (domain + self.guidance * (positive - empty))

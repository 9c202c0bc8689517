"""Diverse score distillation: every seed follows a DDIM trajectory of its own, so different seeds end apart.

What is printed is mended where it cannot be meant: the render is noised to t with sigma_t of t (equation 9 of the paper
has that of s), the gradient of the derivation weighs s(t) (equation 13: alpha), the grid time is the next one above s
(algorithm 2), and x starts at the first x̂0 (nowhere said). Each is needed for the run to be DDIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.method import Method, View
from psr_core.distillation.ode_cache import READINGS, ODECache
from psr_core.distillation.schedule import Times


@dataclass(kw_only=True)
class DSD(Method):
    """w(t) (eps(x noised to t) - eps(x noised to s)), both by the noise that DDIM predicts at the noisier time s on its
    way down from the seed's noise. Two guided predictions an iteration, and those of the trajectories, once.

    grid: DDIM steps. times: None for t = T (1 - i / steps), s = t + T / grid; else t is theirs, and s is t plus a draw
    of up to `lead` (t - T low). source_guidance, trajectory_guidance: g at s, and of the trajectory, None for
    `guidance`. reading: of the trajectory between grid
    times (psr_core.distillation.ode_cache). noise: "trajectory", or its ablations "random" (fresh) and "linear" (the
    seed's own). With weighting "ratio", parameters x itself, started at initial(), and plain descent by
    learning_rate(), steps = grid gives DDIM's samples exactly.
    Source: thesis, algorithm 2 and equation 2.9, and the released code.
    """

    name = "dsd"

    weighting: str = "ratio"
    times: Times | None = None  # type: ignore[assignment]
    grid: int = 10
    source_guidance: float | None = None
    trajectory_guidance: float | None = None
    reading: str = "held"
    noise: str = "trajectory"
    lead: float = 0.1
    low: float = 0.32
    capacity: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_one_of("reading", READINGS)
        self.require_one_of("noise", ("trajectory", "random", "linear"))
        self.require_least("capacity", 1)
        self.require_between("lead", 0, 1)
        self.require_between("low", 0, 1)
        self.prior.check_guidance("dsd.source_guidance", self.source)
        along = self.guidance if self.trajectory_guidance is None else self.trajectory_guidance
        self.prior.check_guidance("dsd.trajectory_guidance", along)
        nodes = self.prior.levels.grid(self.grid)[:-1]
        self.cache = ODECache(self.prior, nodes, self.seed, along, self.reading, self.capacity)

    @property
    def source(self) -> float:
        """g at the noisier time."""
        return self.guidance if self.source_guidance is None else self.source_guidance

    def learning_rate(self) -> float:
        """The rate of plain descent that covers the trajectory in `steps`."""
        return self.grid / self.steps

    def initial(self, view: View) -> Tensor:
        """Where x (B, *shape) must start to follow the trajectory; view.x gives shape, dtype and device alone."""
        return self.cache.first_clean(view)

    def gradient(self, view: View, step: int) -> Tensor:
        """The class's formula, as Method.gradient; 0 once t is."""
        t, s = self.pair(step)
        if t == 0:
            return torch.zeros_like(view.x)  # clean: nothing is left to do
        eps = self.shared_noise(view, s, step)
        there = self.predict(self.noised(view.x, eps, s), s, view, self.source)
        return self.weight(t) * (self.predict(self.noised(view.x, eps, t), t, view) - there)

    def shared_noise(self, view: View, s: int, step: int) -> Tensor:
        """The noise of both levels."""
        if self.noise == "random":
            return self.draw(view, step)
        return self.cache.start(view) if self.noise == "linear" else self.cache.noise(view, s)

    def pair(self, step: int) -> tuple[int, int]:
        """The times t < s of an iteration."""
        levels = self.prior.levels
        if self.times is not None:
            t = self.time(step)
            room = max(0, t - levels.at(self.low))
            return t, min(t + int(self.uniform(step) * self.lead * room), levels.last)
        share = 1 - (step + 1) / self.steps
        return levels.at(share), levels.at(share + 1 / self.grid)

    def state_dict(self) -> dict[str, Any]:
        return self.cache.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.cache.load_state_dict(state)

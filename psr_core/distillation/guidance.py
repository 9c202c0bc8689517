"""Guidance and steering of a prior, once for every method, and the count of what it cost.

One convention everywhere: eps = eps_uncond + g (eps_cond - eps_uncond), so g = 1 is the conditional model. Code that
adds g times the difference to eps_cond, as threestudio does, calls g - 1 what is g here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from psr_core.distillation.prior import Condition, Prior
from psr_core.distillation.steered import SteeredPrior
from psr_core.steering import Steering


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is asked for, row by row: every condition has B rows.

    positive: empty for a prior without conditions. negative: what NFSD moves away from. perpendicular, weights (K, B):
    conditions whose part perpendicular to the positive one is added with these (negative) weights.
    """

    positive: Condition = field(default_factory=dict)
    negative: Condition | None = None
    perpendicular: tuple[Condition, ...] = ()
    weights: Tensor | None = None

    def rows(self, index: Tensor) -> Prompt:
        """The prompt of some rows."""
        return Prompt(
            _rows(self.positive, index),
            None if self.negative is None else _rows(self.negative, index),
            tuple(_rows(one, index) for one in self.perpendicular),
            None if self.weights is None else self.weights[:, index],
        )


class GuidedPrior:
    """A prior under guidance and Steering, which counts its work.

    guided, model: rows that were predicted with guidance, and rows that the model computed for them (a guided row costs
    two, more with perpendicular prompts). Steering rescales the guided prediction, the one a sampler is handed.
    Raises ValueError where (k, sigma) cannot be a factor of the noise: method nns, a Gaussian integrator, cap.
    """

    def __init__(self, prior: Prior, steering: Steering | None = None) -> None:
        self.prior, self.levels = prior, prior.levels
        self._steered = SteeredPrior(prior, steering or Steering())
        self.guided = self.model = 0

    @property
    def steering(self) -> Steering:
        """The dial of the predictions."""
        return self._steered.steering

    def noise(self, x: Tensor, t: float, prompt: Prompt, scale: float = 1.0) -> Tensor:
        """The guided, steered noise prediction of x_t (B, *shape) at time t in (0, T]. Raises ValueError as check()."""
        self.check(x, t, prompt, scale)
        if not prompt.perpendicular and scale == 1:
            return self.predictions(x, t, [prompt.positive])[0]
        unconditional = self.unconditional(x, prompt)
        if scale == 0:
            return self.predictions(x, t, [unconditional])[0]
        empty, positive, *others = self.predictions(x, t, [unconditional, prompt.positive, *prompt.perpendicular])
        aim = positive - empty
        direction = aim
        if prompt.weights is not None:
            for weight, other in zip(prompt.weights.to(x.dtype), others, strict=True):
                direction = direction + _per_row(weight, x) * perpendicular(other - empty, aim)
        return empty + scale * direction

    def predictions(self, x: Tensor, t: float, conditions: Sequence[Condition]) -> list[Tensor]:
        """The steered prediction under each condition, from one call of the model."""
        self.guided += len(x)
        self.model += len(x) * len(conditions)
        joined = {name: torch.cat([one[name] for one in conditions]) for name in self.prior.conditions}
        rows = torch.cat([x] * len(conditions)) if len(conditions) > 1 else x
        return list(self._steered.noise(rows, t, joined).chunk(len(conditions)))

    def unconditional(self, x: Tensor, prompt: Prompt) -> Condition:
        """What guidance starts from: the prompt without what the prior can leave out."""
        return {**prompt.positive, **self.prior.unconditional(x)}

    def check(self, x: Tensor, t: float, prompt: Prompt, scale: float) -> None:
        """Raises ValueError, before any work, for a sample, time, condition or guidance that the prior cannot take."""
        if tuple(x.shape[1:]) != self.prior.shape or x.ndim != len(self.prior.shape) + 1:
            expected = ", ".join(["B", *map(str, self.prior.shape)])
            raise ValueError(f"samples have shape {tuple(x.shape)}, expected ({expected}), the prior's")
        if not 0 < t <= self.levels.last:
            raise ValueError(f"time is {t}, expected above 0 and at most {self.levels.last}")
        self.check_guidance("guidance", scale)
        if (len(prompt.perpendicular) > 0) != (prompt.weights is not None):
            raise ValueError("prompt has perpendicular conditions or weights, expected both or neither")
        if prompt.weights is not None and prompt.weights.shape != (len(prompt.perpendicular), len(x)):
            expected = f"({len(prompt.perpendicular)}, {len(x)}), perpendicular conditions by rows"
            raise ValueError(f"prompt weights have shape {tuple(prompt.weights.shape)}, expected {expected}")
        named = [("positive", prompt.positive), *(("perpendicular", one) for one in prompt.perpendicular)]
        for name, condition in named:
            self._check_condition(name, condition, len(x))
        if prompt.negative is not None:
            self._check_condition("negative", prompt.negative, len(x))

    def check_guidance(self, name: str, scale: float) -> None:
        """Raises ValueError naming a scale that is not finite, or not 1 for a prior without conditions."""
        if not math.isfinite(scale):
            raise ValueError(f"{name} is {scale}, expected a finite number")
        if scale != 1 and not self.prior.conditions:
            raise ValueError(f"{name} is {scale:g}, expected 1: this prior takes no condition that could be guided")

    def _check_condition(self, name: str, condition: Condition, batch: int) -> None:
        if set(condition) != set(self.prior.conditions):
            given, expected = (", ".join(sorted(one)) or "nothing" for one in (condition, self.prior.conditions))
            raise ValueError(f"prompt {name} has {given}, expected {expected}")
        for entry, value in condition.items():
            if len(value) != batch:
                raise ValueError(f"prompt {name} {entry} has {len(value)} rows, expected {batch}, one for each sample")


def perpendicular(x: Tensor, onto: Tensor) -> Tensor:
    """The part of x (B, ...) perpendicular to `onto`, row by row; x itself where that is 0.

    Source: Armandpour et al. 2023 (Perp-Neg), equation 5.
    """
    overlap = (x * onto).flatten(1).sum(1)
    norm = onto.flatten(1).square().sum(1)
    share = torch.where(norm > 0, overlap / norm.clamp(min=torch.finfo(x.dtype).tiny), 0.0)
    return x - _per_row(share, x) * onto


@dataclass(frozen=True)
class ViewWeights:
    """How view words mix at an azimuth. positive: weights of (front, side, back), with sum 1; negative: weights <= 0 of
    (front, side, back) as perpendicular prompts, 0 for none."""

    positive: tuple[float, float, float]
    negative: tuple[float, float, float]


def view_weights(azimuth: float) -> ViewWeights:
    """Positive and perpendicular-negative weights of the view words at an azimuth in degrees, 0 the front.

    Source: Armandpour et al. 2023, with the constants of threestudio's prompt processors.
    """
    angle = abs((azimuth + 180) % 360 - 180)
    if angle < 90:
        r = 1 - angle / 90
        return ViewWeights((r, 1 - r, 0.0), (-_falling(r, 4.0, -2.426), -_falling(1 - r, 4.0, -2.426), 0.0))
    r = 2 - angle / 90
    return ViewWeights((0.0, r, 1 - r), (-_falling(r, 1.0, 0.967), -_falling(r, 1.0, -0.606), 0.0))


def _falling(r: float, height: float, offset: float) -> float:
    return max(0.0, height * math.exp(-0.5 * r) + offset)


def _per_row(value: Tensor, like: Tensor) -> Tensor:
    return value.view(-1, *[1] * (like.ndim - 1))


def _rows(condition: Condition, index: Tensor) -> Condition:
    return {name: value[index] for name, value in condition.items()}

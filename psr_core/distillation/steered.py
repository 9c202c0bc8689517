"""A prior whose noise prediction is steered, (k, sigma), for whoever asks it."""

from __future__ import annotations

from torch import Tensor

from psr_core.distillation.levels import Levels
from psr_core.distillation.prior import Condition, Prior
from psr_core.steering import Steering, noise_factor


class SteeredPrior:
    """The prior with its predicted noise multiplied by the factor of a Steering at each level; all else is the prior's.

    Raises ValueError where (k, sigma) cannot be a factor of the noise: method nns, a Gaussian integrator, cap.
    """

    def __init__(self, prior: Prior, steering: Steering) -> None:
        if steering.method == "nns" or steering.integrator != "plain" or steering.cap:
            expected = "method psr, nes or none, integrator plain and cap false: distillation takes no sampler's steps"
            raise ValueError(f"steering is {steering.label()}, expected {expected}")
        self.prior, self.steering = prior, steering

    @property
    def levels(self) -> Levels:
        return self.prior.levels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prior.shape

    @property
    def conditions(self) -> tuple[str, ...]:
        return self.prior.conditions

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        eps = self.prior.noise(x, t, condition)
        factor = noise_factor(self.levels.level(t), self.steering)
        return eps if factor == 1 else eps * factor

    def unconditional(self, x: Tensor) -> Condition:
        return self.prior.unconditional(x)

    def encode(self, image: Tensor) -> Tensor:
        return self.prior.encode(image)

    def decode(self, x: Tensor) -> Tensor:
        return self.prior.decode(x)

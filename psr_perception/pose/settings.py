"""How rotations are to be sampled, checked once for all, and what is unwise about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psr_core.so3_diffusion import expected_spread, power_steps
from psr_core.steering import Steering
from psr_perception.checks import check_whole

NARROW = 0.005  # rad, 0.3 degrees: the spread of the narrowest mode that a network is expected to know
HARM = math.radians(1)  # by which steering may widen it before that is said


@dataclass(frozen=True)
class PoseSettings:
    """How an image's rotations are sampled, beside the steering. Raises ValueError naming the field and its value.

    num_inference_steps: calls of the network's head, 1 or more. eta: share of the noise that an ancestral step injects,
    0 (deterministic) to 1. With 1 modes are as wide as they were learned (0.9 of it in 50 steps, 1 in 100); with 0 they
    are 1.3 times as wide, for uniform rotations, where samples begin, are wider than the noise that training ends with;
    steered with the cap, 0 comes nearest to the modes' centres. samples: rotations, all in one batch. mode_angle:
    degrees that a mode reaches from its mean, above 0 to 90. seed: of the noise, 0 to 2**64 - 1.
    """

    num_inference_steps: int = 50
    eta: float = 1.0
    samples: int = 200
    mode_angle: float = 15.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_inference_steps", 1), ("samples", 1), ("seed", 0)):
            check_whole(name, getattr(self, name), least)
        if not 0 < self.mode_angle <= 90:
            raise ValueError(f"mode_angle is {self.mode_angle}, expected degrees above 0, 90 at most")

    @property
    def radius(self) -> float:
        """mode_angle in rad."""
        return math.radians(self.mode_angle)


def sampling_warnings(settings: PoseSettings, steering: Steering) -> list[str]:
    """Why so many steps scatter samples that the steering should sharpen, with a cure; empty when all is well."""
    off = _scattered(settings.num_inference_steps, settings.eta, steering)
    if off is None:
        return []
    cures = [f"num_inference_steps = {n}" for n in (50, 100, 200, 500) if _scattered(n, settings.eta, steering) is None]
    cures = [*["steering.cap true"] * (steering.method == "psr"), *cures[:1]] or ["a smaller k"]
    return [
        f"num_inference_steps = {settings.num_inference_steps} and eta = {settings.eta:g} with steering "
        f"{steering.label()}: steps go beyond the predicted rotation, and samples of a narrow mode end "
        f"{math.degrees(off):.0f} degrees about it; use {' or '.join(cures)}"
    ]


def _scattered(count: int, eta: float, steering: Steering) -> float | None:
    """How far samples of a narrow mode end from it, rad, where sharpening makes that more than it was; else None."""
    if steering.k <= 1:
        return None
    steps = power_steps(count)
    plain, steered = (expected_spread(NARROW, steps, each, eta) for each in (Steering(), steering))
    return steered if steered > plain + HARM else None

"""Steering (k, σ): the one dial, its validation and its factor.

Parametric score rescaling (PSR) multiplies the noise a diffusion model predicts by

    r_t = (s_t σ² + 1) / (s_t σ²/k + 1),    s_t = α_t²/σ_t²,

which turns the score of noised N(μ, σ²) data into that of noised N(μ, σ²/k) data. k > 1 sharpens every mode, k < 1
flattens it, the weights of the modes stay, and k = 1 is the model as trained.

Source: thesis "Score rescaling and diverse score distillation", equation 1.6; preprint "Temporal Score Rescaling".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Numbers = TypeVar("Numbers", float, np.ndarray[Any, np.dtype[np.float64]], torch.Tensor)

NAMED = {
    "method": ("psr", "nns", "nes", "none"),
    "integrator": ("plain", "gaussian", "gaussian2"),
    "cap": (False, True),
}
SMALLEST, LARGEST = 1e-6, 1e6  # of k and σ: far beyond any use, and close enough that nothing over- or underflows


class Level(NamedTuple):
    """A noise level, x_t = alpha x_0 + sigma_t ε, in whatever scale a sampler keeps its samples.

    Variance preserving: alpha² + sigma_t² = 1; variance exploding: alpha = 1; flow matching: alpha + sigma_t = 1.
    """

    alpha: float
    sigma_t: float


@dataclass(frozen=True)
class Steering:
    """How a sample is drawn. One value, built once, passed down whole and written into every result.

    k: sharpness, > 0. σ is the standard deviation that a mode is taken to have, in the model's normalised units, > 0.
    method: "psr" rescales the score; "nns" divides the noise that a stochastic sampler injects by k; "nes" multiplies
    the predicted noise by k at every level; "none" is the stock sampler. The last three are there to be compared with.
    integrator: "plain" is the scheduler's own step; "gaussian" and "gaussian2" integrate the steered flow of a Gaussian
    mode in closed form, to first and second order (psr_core.integrators). cap: a plain step never passes the predicted
    clean sample. Both go with method "psr" only. Raises ValueError naming the field, its value and what was expected.
    """

    k: float = 1.0
    sigma: float = 1.0
    method: str = "psr"
    integrator: str = "plain"
    cap: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "sigma"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        for name, choices in NAMED.items():
            value = getattr(self, name)
            if type(value) is not type(choices[0]) or value not in choices:
                raise ValueError(f"steering.{name} is {value!r}, expected one of: {', '.join(map(str, choices))}")
        if self.integrator != "plain" and (self.method, self.cap) != ("psr", False):
            raise ValueError(
                f"steering.integrator = {self.integrator!r} goes with method 'psr' and without cap (no step of it "
                f"passes the mode's centre), but method is {self.method!r} and cap is {self.cap}"
            )
        if self.cap and self.method != "psr":
            raise ValueError(f"steering.cap limits PSR's factor and needs method 'psr', but method is {self.method!r}")

    @property
    def is_identity(self) -> bool:
        """True when the sample is exactly the stock sampler's."""
        return self.method == "none" or (self.k == 1.0 and self.integrator == "plain")

    def to_dict(self) -> dict[str, Any]:
        """The five fields as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Steering:
        """The inverse of to_dict; missing fields take their defaults. Raises ValueError on an unknown field."""
        unknown = set(fields) - set(cls.__dataclass_fields__)
        if unknown:
            expected = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"steering has no field {', '.join(sorted(unknown))}; expected some of: {expected}")
        return cls(**fields)

    def label(self) -> str:
        """Short text for tables and pictures, such as "psr k=2 σ=0.1"."""
        if self.method == "none":
            return "none"
        extras = [self.integrator] * (self.integrator != "plain") + ["cap"] * self.cap
        sigma = [f"σ={self.sigma:g}"] * (self.method == "psr")  # the others do not use it
        return " ".join([self.method, f"k={self.k:g}", *sigma, *extras])


def rescale_factor(alpha: Numbers, sigma_t: Numbers, k: float, sigma: float) -> Numbers:
    """PSR's r_t at noise levels x_t = alpha x_0 + sigma_t ε; from 1 (pure noise, exactly) to k (clean).

    alpha, sigma_t: floats, numpy arrays or torch tensors >= 0, not both 0; the result has their shape and kind.
    Source: thesis, equation 1.6, multiplied out by sigma_t² so that alpha = 0 and sigma_t = 0 need no special case.
    """
    k, sigma = _positive("k", k), _positive("sigma", sigma)
    signal = (alpha * sigma) ** 2
    return 1 + (1 - 1 / k) * signal / (signal / k + sigma_t**2)


def noise_factor(level: Level, steering: Steering, kept: float = 1.0) -> float:
    """What the predicted noise is multiplied by at a level: r_t for "psr", k for "nes", else 1.

    kept: share of the gap between the sample and the predicted clean sample that the coming step leaves (kept_by_ode,
    kept_by_ancestral); used with steering.cap only, which then limits r_t to 1 / (1 - kept), the factor that closes the
    gap. Variance-exploding samplers on SO(3) pass Level(1, sigma_t) and kept = c / sigma_t, where c is the standard
    deviation kept toward the sample.
    """
    if steering.method == "nes":
        return steering.k
    if steering.method != "psr":
        return 1.0
    factor = rescale_factor(level.alpha, level.sigma_t, steering.k, steering.sigma)
    if steering.cap and kept < 1:
        return min(factor, 1 / (1 - kept))
    return factor


def kept_by_ode(level: Level, next_level: Level) -> float:
    """Share of the gap to the clean sample that a deterministic (DDIM, Euler) step leaves, in [0, 1]."""
    return next_level.sigma_t * level.alpha / (next_level.alpha * level.sigma_t)


def kept_by_ancestral(level: Level, next_level: Level) -> float:
    """The same of a DDPM or Euler-ancestral step's mean; its noise is added on top."""
    return kept_by_ode(level, next_level) ** 2


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise ValueError(f"steering.{name} is {value!r}, expected a number from {SMALLEST:g} to {LARGEST:g}")
    if not SMALLEST <= value <= LARGEST:  # false for nan, too
        raise ValueError(f"steering.{name} is {value}, expected a finite number > 0 ({SMALLEST:g} to {LARGEST:g})")
    return float(value)

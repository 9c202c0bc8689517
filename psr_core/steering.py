"""Steering (k, σ): the one dial, its validation and its closed forms.

Parametric score rescaling (PSR) multiplies the noise a diffusion model predicts by

    r_t = (s_t σ² + 1) / (s_t σ²/k + 1),    s_t = α_t²/σ_t²,

which turns the score of noised N(μ, σ²) data into that of noised N(μ, σ²/k) data. k > 1 sharpens every mode, k < 1
flattens it, the weights of the modes stay, and k = 1 is the model as trained.

Source: thesis "Score rescaling and diverse score distillation", equation 1.6; preprint "Temporal Score Rescaling".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Numbers = TypeVar("Numbers", float, np.ndarray[Any, np.dtype[np.float64]], torch.Tensor)

# What is offered today. The names of the whole family stand below, so that a refusal tells "unknown" from "not yet".
AVAILABLE = {"method": ("psr", "none"), "integrator": ("plain",), "cap": (False,)}
NAMED = {
    "method": ("psr", "nns", "nes", "none"),
    "integrator": ("plain", "gaussian", "gaussian2"),
    "cap": (False, True),
}


@dataclass(frozen=True)
class Steering:
    """How a sample is drawn. One value, built once, passed down whole and written into every result.

    k: sharpness, > 0. σ is the standard deviation that a mode is taken to have, in the model's normalised units, > 0.
    method: "psr" rescales the score, "none" is the stock sampler. integrator: "plain" is the scheduler's own step.
    Raises ValueError naming the field, its value and what was expected.
    """

    k: float = 1.0
    sigma: float = 1.0
    method: str = "psr"
    integrator: str = "plain"
    cap: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "sigma"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        for name, available in AVAILABLE.items():
            value = getattr(self, name)
            if type(value) is not type(available[0]) or value not in NAMED[name]:
                expected = ", ".join(map(str, NAMED[name]))
                raise ValueError(f"steering.{name} is {value!r}, expected one of: {expected}")
            if value not in available:
                expected = ", ".join(map(str, available))
                raise ValueError(
                    f"steering.{name} = {value!r} is not available in this version; choose from: {expected}"
                )

    @property
    def is_identity(self) -> bool:
        """True when the sample is exactly the stock sampler's."""
        return self.method == "none" or (self.method == "psr" and self.k == 1.0 and self.integrator == "plain")

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
        return " ".join([self.method, f"k={self.k:g}", f"σ={self.sigma:g}", *extras])


def rescale_factor(snr: Numbers, k: float, sigma: float) -> Numbers:
    """PSR's r_t for signal-to-noise ratios α_t²/σ_t² in [0, inf]; between 1 (pure noise) and k (clean).

    snr: float, numpy array or torch tensor of any shape; the result has its shape and kind. Source: thesis, eq. 1.6.
    """
    k, sigma = _positive("k", k), _positive("sigma", sigma)
    if hasattr(snr, "detach"):
        return 1 + (1 - 1 / k) / (1 / k + 1 / (snr * sigma**2))
    with np.errstate(divide="ignore", over="ignore"):
        # Written so that both ends are exact: snr 0 gives 1, snr inf gives k, and k = 1 gives exactly 1 everywhere.
        factor = 1 + (1 - 1 / k) / (1 / k + 1 / (np.asarray(snr, dtype=np.float64) * sigma**2))
    return factor if np.ndim(snr) else float(factor)  # type: ignore[return-value]


def steer_epsilon(eps: torch.Tensor, alpha_bar: torch.Tensor, steering: Steering) -> torch.Tensor:
    """Steered noise prediction ε' = r_t ε.

    eps: any shape and floating dtype. alpha_bar: α_t² in [0, 1], broadcastable to eps. Computed in at least float32.
    """
    return (eps.to(_working_dtype(eps)) * (1 + alpha_bar.sqrt() * _gain(alpha_bar, steering))).to(eps.dtype)


def steer_v(v: torch.Tensor, sample: torch.Tensor, alpha_bar: torch.Tensor, steering: Steering) -> torch.Tensor:
    """Steered velocity prediction v' = v + g_t ε with ε = α_t v + σ_t x_t; finite, and unchanged, at zero terminal SNR.

    v, sample: same shape. alpha_bar as in steer_epsilon. Equals converting to ε, rescaling and converting back.
    """
    dtype = _working_dtype(v)
    eps = alpha_bar.sqrt() * v.to(dtype) + (1 - alpha_bar).sqrt() * sample.to(dtype)
    return (v.to(dtype) + _gain(alpha_bar, steering) * eps).to(v.dtype)


def steer_sample(x0: torch.Tensor, sample: torch.Tensor, alpha_bar: torch.Tensor, steering: Steering) -> torch.Tensor:
    """Steered clean-sample prediction x̂0' = x̂0 - g_t (x_t - α_t x̂0), g_t the gain of steer_v.

    x0, sample: same shape. alpha_bar as in steer_epsilon. Nothing divides by α_t or σ_t.
    """
    dtype = _working_dtype(x0)
    residual = sample.to(dtype) - alpha_bar.sqrt() * x0.to(dtype)
    return (x0.to(dtype) - _gain(alpha_bar, steering) * residual).to(x0.dtype)


def _gain(alpha_bar: torch.Tensor, steering: Steering) -> torch.Tensor:
    """g_t = (r_t - 1)/α_t = α_t σ² (1 - 1/k) / (α_t² σ²/k + σ_t²), without dividing by α_t."""
    variance = steering.sigma**2
    steered = alpha_bar * (variance / steering.k) + (1 - alpha_bar)
    return alpha_bar.sqrt() * (variance * (1 - 1 / steering.k)) / steered


def _working_dtype(values: torch.Tensor) -> torch.dtype:
    import torch

    return torch.promote_types(values.dtype, torch.float32)


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise ValueError(f"steering.{name} is {value!r}, expected a number > 0")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"steering.{name} is {value}, expected a finite number > 0")
    return float(value)

"""Steered predictions of every type, and what a prediction says of the clean sample and of the noise.

A model may predict the noise ε, the velocity v, the clean sample x̂0 or the flow u = ε - x̂0. Multiplying the noise by a
factor r is linear in each of them: prediction' = r prediction + c x_t, with a c that never divides by alpha.
Source: thesis, appendix A.1 (conversions); docs/steering.md derives the four values of c.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from psr_core.steering import Level

KINDS = ("epsilon", "v_prediction", "sample", "flow_prediction")


def steer_prediction(kind: str, prediction: Tensor, sample: Tensor, level: Level, factor: float) -> Tensor:
    """The prediction of this kind that stands for `factor` times the noise.

    prediction, sample (x_t in the level's scale): same shape, any floating dtype. Computed in at least float32,
    returned in the prediction's dtype; what float16 or bfloat16 cannot hold becomes their largest number. Factor 1
    changes nothing. Raises ValueError for an unknown kind, and for a factor other than 1 where alpha is 0 and the kind
    is not epsilon: pure noise has no clean sample that could be moved (r_t of PSR is 1 there).
    """
    dtype = prediction.dtype
    share = _sample_share(kind, level, factor)
    wide = prediction.to(torch.promote_types(dtype, torch.float32))
    steered = wide * factor
    if share:
        steered = steered.add(sample.to(wide.dtype), alpha=share)
    if dtype is wide.dtype:
        return steered
    limits = torch.finfo(dtype)
    return steered.clamp_(limits.min, limits.max).to(dtype)


def clean_and_noise(kind: str, prediction: Tensor, sample: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    """(x̂0, ε) that a prediction stands for at x_t, both in at least float32.

    Only kind epsilon divides by alpha and only kind sample by sigma_t, as the mathematics has it.
    """
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    alpha, sigma_t = level
    said, x = prediction.to(dtype), sample.to(dtype)
    if kind == "epsilon":
        return _mix(x, 1 / alpha, said, -sigma_t / alpha), said
    if kind == "sample":
        return said, _mix(x, 1 / sigma_t, said, -alpha / sigma_t)
    if kind == "v_prediction":
        scale = math.hypot(alpha, sigma_t)  # v is defined where alpha² + sigma_t² = 1
        clean = _mix(x, alpha / scale**2, said, -sigma_t / scale)
        return clean, _mix(x, sigma_t / scale**2, said, alpha / scale)
    if kind == "flow_prediction":
        return x.sub(said, alpha=sigma_t), x.add(said, alpha=alpha)
    raise _unknown(kind)


def _mix(x: Tensor, of_x: float, said: Tensor, of_said: float) -> Tensor:
    return (x * of_x).add_(said, alpha=of_said)


def _sample_share(kind: str, level: Level, factor: float) -> float:
    """c of prediction' = r prediction + c x_t."""
    if kind == "epsilon" or factor == 1:
        return 0.0
    alpha, sigma_t = level
    if alpha == 0:
        raise ValueError(
            f"noise cannot be multiplied by {factor:g} at zero signal-to-noise for a model that predicts {kind}: the "
            "clean sample would be infinite; use steering.method psr, or a schedule that does not begin at pure noise"
        )
    gain = (factor - 1) / alpha
    if kind == "v_prediction":
        return gain * sigma_t / math.hypot(alpha, sigma_t)
    if kind == "sample":
        return -gain
    if kind == "flow_prediction":
        return gain
    raise _unknown(kind)


def _unknown(kind: str) -> ValueError:
    return ValueError(f"prediction_type is {kind!r}, expected one of: {', '.join(KINDS)}")

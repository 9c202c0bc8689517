"""Addressed noise for a whole batch at once: a row depends on what it is for, not on the rows beside it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# Streams: what the noise is for.
ITERATION, FIXED, TIME, LEAD, ENTROPY, SAMPLER, CRITIC, CRITIC_TIME, PICTURE, CAMERA, RAY = range(11)
_GOLDEN, _FIRST, _SECOND = (  # SplitMix64's increment and multipliers, as signed 64-bit integers
    word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def addressed_normal(like: Tensor, seed: int, items: Tensor, stream: int, step: int = 0, draw: int = 0) -> Tensor:
    """Standard normal noise of like's shape (B, ...), dtype and device; row b follows from (seed, items[b], stream,
    step, draw) alone, up to the last bits of a device's logarithm and cosine.

    items: (B,) int64; the other numbers >= 0. Source: SplitMix64 (Steele et al. 2014) as a hash of counters; Box and
    Muller.
    """
    size = like[0].numel()
    uniform = addressed_uniforms(2 * size, seed, items.to(like.device), stream, step, draw)
    normal = (-2 * uniform[:, :size].log()).sqrt() * (2 * math.pi * uniform[:, size:]).cos()
    return normal.view(like.shape).to(like.dtype)


def addressed_uniforms(size: int, seed: int, items: Tensor, stream: int, step: int = 0, draw: int = 0) -> Tensor:
    """Numbers above 0 and below 1, (B, size) float64 on the device of items (B,); addressed as addressed_normal's."""
    first = _mix(_mix(items) + _hashed(seed, stream, step, draw))
    counter = torch.arange(1, size + 1, device=items.device) * _GOLDEN
    return (_shift(_mix(first[:, None] + counter), 11).double() + 0.5) * 2.0**-53


def addressed_uniform(seed: int, stream: int, step: int) -> float:
    """One number from 0 to below 1 that follows from its address."""
    return (_hashed(seed, stream, step) + 2**63 >> 11) * 2.0**-53


def _hashed(*words: int) -> int:
    """A signed 64-bit integer."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) - 2**63


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # logical: torch's own keeps the sign

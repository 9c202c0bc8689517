"""Addressed randomness: the noise of a sample follows from what it is for, not from what was drawn before it."""

from __future__ import annotations

import numpy as np
import torch


def noise_generator(seed: int, episode_seed: int, chunk_step: int) -> torch.Generator:
    """Random numbers of the action chunk that starts at control step `chunk_step` of an episode, on the CPU.

    `seed` belongs to the run, `episode_seed` to the initial state; all three are non-negative integers. The same
    address gives the same numbers whatever the batch, the worker or the order.
    """
    address = {"seed": seed, "episode_seed": episode_seed, "chunk_step": chunk_step}
    for name, value in address.items():
        if not 0 <= value < 2**64:
            raise ValueError(f"{name} is {value}, expected 0 to 2**64 - 1")
    words = [word for value in address.values() for word in (value & 0xFFFFFFFF, value >> 32)]
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return torch.Generator().manual_seed((int(state[0]) << 32 | int(state[1])) & (2**63 - 1))

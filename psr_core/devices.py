"""The device that a name stands for, checked."""

from __future__ import annotations

import torch


def torch_device(name: str | torch.device) -> torch.device:
    """The device of that name: cpu, cuda or cuda:<number>. Raises ValueError for another, or where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}, expected cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {name}, but torch finds no CUDA device here; use cpu")
    return device

"""The device that a name stands for, checked, and how the arithmetic on it is done."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PRECISIONS = ("bfloat16", "float32")


def torch_device(name: str | torch.device) -> torch.device:
    """The device of that name: cpu, cuda or cuda:<number>. Raises ValueError for another, or where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device is {name!r}, expected cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {name}, but torch finds no CUDA device here; use cpu")
    return device


def lower_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Where convolutions and products of matrices are rounded to the precision; float32 leaves all as it is.

    On processors with bfloat16 matrix units a training step takes half the time or less.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def plain_attention(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Where attention on a CPU is two products of matrices and a softmax, which for pictures of 16 x 16 latents is
    faster than torch's fused kernel: a training step took .33 s for .42 s. Elsewhere torch chooses."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def precision_on(device: torch.device, precision: str) -> str:
    """The precision named, for "auto" bfloat16 where the device computes in it, else float32.

    Emulated on a processor, bfloat16 takes many times as long as float32.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def require_precision(precision: str) -> None:
    """Raises ValueError for what is not one of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of: {', '.join(PRECISIONS)}")


def set_threads(threads: int | None) -> None:
    """How many threads torch uses on the CPU, None to leave it. Raises ValueError below one."""
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}, expected 1 or more")
        torch.set_num_threads(threads)

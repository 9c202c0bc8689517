"""The most memory that a part of a process held."""

from __future__ import annotations

from pathlib import Path

import torch

from psr_mesh.builder import peak_memory

RESET = Path("/proc/self/clear_refs")  # of Linux: "5" makes the peak what is held now
STATUS = Path("/proc/self/status")


def reset_peak(device: torch.device) -> None:
    """Forgets the peak so far, where that can be done: on a GPU, and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        RESET.write_text("5")
    except OSError:
        return


def peak_mb(device: torch.device) -> int:
    """The peak since the last reset, in MB (10^6): of the GPU where it computes, else of the host, with all libraries;
    that of the whole process where it cannot be reset."""
    if device.type != "cuda" and STATUS.is_file():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        if "VmHWM" in lines:
            return round(int(lines["VmHWM"].split()[0]) * 1024 / 1e6)
    return peak_memory(device)

"""How long a chunk takes, with and without steering, interleaved in one run on the same inputs."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from psr_core.steering import Steering


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one setting over n chunks."""

    label: str
    n: int
    p50: float
    p95: float


def bench_policy(
    checkpoint: Path, settings: list[Steering], num_inference_steps: int = 16, repeats: int = 100, threads: int = 1
) -> tuple[list[Timing], float]:
    """Time to sample one chunk at batch 1 on the CPU under each setting, and the milliseconds that a chunk lasts.

    Settings take turns within one loop, so that a busy moment of the machine hits all of them alike.
    """
    import torch

    from psr_policy.checkpoint import load_policy
    from psr_policy.chunker import ChunkSampler

    torch.set_num_threads(threads)
    policy = load_policy(checkpoint)
    chunker = ChunkSampler(policy)
    chunker.num_inference_steps = num_inference_steps
    chunker.reset(0)
    chunker.observe({name: np.zeros(size) for name, size in policy.config.obs_keys})
    latencies: dict[Steering, list[float]] = {steering: [] for steering in settings}
    for turn in range(repeats + 3):
        for steering in settings:
            chunker.steering = steering
            latency = chunker.sample(turn).latency
            if turn >= 3:  # the first turns pay for caches
                latencies[steering].append(latency * 1000)
    timings = [
        Timing(steering.label(), repeats, *(float(q) for q in np.percentile(values, [50, 95])))
        for steering, values in latencies.items()
    ]
    return timings, policy.config.n_action_steps * policy.config.step_period * 1000


def machine() -> str:
    """The processor and the versions that a timing depends on."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    cores = sum(line.startswith("processor") for line in lines)
    return f"{model}, {cores} cores, Python {platform.python_version()}, torch {torch.__version__}"

"""How long a depth frame takes: the stock pipeline, the estimator around it, and steering, interleaved in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from psr_core.steering import Steering
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.settings import DepthSettings

STEERED = Steering(k=1.3, sigma=10.0)
WARM_UP = 1  # turns that pay for caches
ASPECT = 3 / 4


@dataclass(frozen=True)
class FrameTiming:
    """Milliseconds of a frame over n turns. what: "stock pipeline" or the estimator with its steering."""

    resolution: int
    what: str
    n: int
    p50: float
    p95: float


def bench_depth(
    checkpoint: Path | str,
    resolutions: Sequence[int] = (128, 192, 256, 320),
    *,
    num_inference_steps: int = 0,
    repeats: int = 10,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int = 1,
    report: Callable[[FrameTiming], None] = lambda timing: None,
) -> list[FrameTiming]:
    """Times frames of resolution x 3/4 resolution pixels of noise at ensemble 1; the ways take turns.

    num_inference_steps: 0 is the checkpoint's own. Raises as load_depth_pipeline and DepthSettings do, and ValueError
    for repeats or threads below 1.
    """
    for name, value in (("repeats", repeats), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    torch.set_num_threads(threads)
    pipeline = load_depth_pipeline(checkpoint, device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    estimator = DepthEstimator(pipeline)
    steps = num_inference_steps or estimator.default_settings.num_inference_steps
    timings = []
    for resolution in resolutions:
        settings = DepthSettings(steps, processing_resolution=resolution)
        for timing in _frames(pipeline, estimator, settings, repeats):
            report(timing)
            timings.append(timing)
    return timings


def _frames(pipeline: Any, estimator: DepthEstimator, settings: DepthSettings, repeats: int) -> list[FrameTiming]:
    resolution = settings.processing_resolution
    shape = round(resolution * ASPECT), resolution, 3
    image: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    steps = settings.num_inference_steps
    ways: dict[str, Callable[[], Any]] = {
        "stock pipeline": lambda: pipeline(
            Image.fromarray(image), num_inference_steps=steps, processing_resolution=resolution, ensemble_size=1
        ),
        **{
            f"estimator, {steering.label()}": lambda steering=steering: estimator.estimate(image, settings, steering, 0)
            for steering in (Steering(), STEERED)
        },
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + WARM_UP):
        for name, run in ways.items():
            begin = time.perf_counter()
            run()  # its result is on the CPU, so a GPU has finished
            if turn >= WARM_UP:
                taken[name].append(1000 * (time.perf_counter() - begin))
    return [
        FrameTiming(resolution, name, repeats, *(float(q) for q in np.percentile(values, [50, 95])))
        for name, values in taken.items()
    ]

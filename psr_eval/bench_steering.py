"""What steering adds to one scheduler step, against a network call: stock and steered steps interleaved in one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from psr_core.scheduler_levels import refusal
from psr_core.schedulers import steer
from psr_core.steering import Steering

SCHEDULERS = (DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler)
PREDICTION_TYPES = ("epsilon", "v_prediction")
STEERINGS = (
    Steering(k=2.0, sigma=0.5),
    Steering(k=2.0, sigma=0.5, integrator="gaussian2"),
    Steering(k=2.0, method="nes"),
    Steering(k=2.0, method="nns"),
)
NETWORK_CALL = 5000.0  # µs: a fast network's call
STEPS = 16
WARM_UP = 3  # trajectories that pay for caches


@dataclass(frozen=True)
class Sample:
    """A tensor that is denoised: its name, shape, and the configuration that goes with it."""

    name: str
    shape: tuple[int, ...]
    config: dict[str, Any]
    clip: bool  # DDIM and DDPM clip the clean sample


SAMPLES = (
    Sample("action chunk", (1, 16, 10), {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}, clip=True),
    Sample(
        "image latent",
        (1, 4, 64, 64),
        {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        clip=False,
    ),
)


@dataclass(frozen=True)
class StepCost:
    """Microseconds of a stock step, and those that steering adds: percentiles over n steps.

    A steered step is compared with the stock step of the same turn, so that a busy moment of the machine hits both.
    """

    scheduler: str
    prediction_type: str
    sample: str
    shape: tuple[int, ...]
    steering: str
    n: int
    stock_p50: float
    added_p5: float
    added_p50: float
    added_p95: float

    @property
    def share(self) -> float:
        """The added median as a share of a network call of NETWORK_CALL."""
        return self.added_p50 / NETWORK_CALL

    def to_dict(self) -> dict[str, Any]:
        """Every field and the share, for JSON."""
        return {**asdict(self), "share_of_network_call": self.share}


def bench_steering(
    repeats: int = 100, threads: int = 1, report: Callable[[StepCost], None] = lambda cost: None
) -> list[StepCost]:
    """What each steering adds to one step, on the CPU, float32, for every scheduler, prediction type and sample.

    repeats: trajectories of STEPS steps for each. report is given each figure as soon as it is there. Steerings that a
    scheduler cannot take are left out. Raises ValueError below one repeat or thread.
    """
    for name, value in (("repeats", repeats), ("threads", threads)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    torch.set_num_threads(threads)
    costs = []
    for sample in SAMPLES:
        for scheduler in SCHEDULERS:
            for prediction_type in PREDICTION_TYPES:
                for cost in step_costs(scheduler, prediction_type, sample, repeats):
                    costs.append(cost)
                    report(cost)
    return costs


def step_costs(scheduler: Any, prediction_type: str, sample: Sample, repeats: int) -> list[StepCost]:
    """What each steering adds to a step of one scheduler class; random tensors, the same for all."""
    clip = {"clip_sample": sample.clip} if scheduler in (DDIMScheduler, DDPMScheduler) else {}
    stock = scheduler(**sample.config, **clip, prediction_type=prediction_type)
    possible = [steering for steering in STEERINGS if refusal(stock, steering) is None]
    seconds = _interleaved([stock, *(steer(stock, steering) for steering in possible)], sample.shape, repeats)
    base, *steered = seconds.reshape(len(possible) + 1, -1) * 1e6
    return [
        StepCost(
            scheduler.__name__,
            prediction_type,
            sample.name,
            sample.shape,
            steering.label(),
            base.size,
            float(np.median(base)),
            *(float(q) for q in np.percentile(times - base, [5, 50, 95])),
        )
        for steering, times in zip(possible, steered, strict=True)
    ]


def _interleaved(schedulers: list[Any], shape: tuple[int, ...], repeats: int) -> np.ndarray:
    """Seconds of each step, (schedulers, repeats, STEPS). Who goes first in a turn changes from turn to turn."""
    generator = torch.Generator().manual_seed(0)
    x, prediction = (torch.randn(shape, generator=generator) for _ in range(2))
    seconds = np.empty((len(schedulers), WARM_UP + repeats, STEPS))
    gc_was_on = gc.isenabled()
    gc.disable()  # a collection would hit one of them
    try:
        for turn in range(WARM_UP + repeats):
            for scheduler in schedulers:
                scheduler.set_timesteps(STEPS)
            for step, timestep in enumerate(schedulers[0].timesteps):
                for place in range(len(schedulers)):
                    i = (place + turn + step) % len(schedulers)
                    schedulers[i].scale_model_input(x, timestep)
                    begin = time.perf_counter()
                    schedulers[i].step(prediction, timestep, x)
                    seconds[i, turn, step] = time.perf_counter() - begin
            gc.collect(0)
    finally:
        if gc_was_on:
            gc.enable()
    return seconds[:, WARM_UP:]

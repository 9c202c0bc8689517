"""Relative depth of one image, or of one frame after the other, under steering that may be turned at every frame."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import LCMScheduler, MarigoldDepthPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from psr_core.scheduler_levels import family_of
from psr_core.schedulers import steer
from psr_core.seeds import noise_generator
from psr_core.steering import Level, Steering, noise_factor
from psr_perception.depth.loading import check_half

# The members are aligned by a search over finite differences, whose time grows with the pixels; this many are enough.
ENSEMBLING = {"max_res": 256}
PAIR = {"reduction": "mean"}  # torch's median of two is the smaller one, and its deviation nothing
INJECTED = 2**63  # address of the noise that LCM injects: no ensemble member has this number
MOST_SIGNAL = 0.3  # alpha from which on a first level is no longer nearly pure noise
NO_EFFECT = 0.01  # a factor this near to 1 everywhere does nothing that can be seen
OVERSHOOT = 0.1  # in standard deviations of the predicted noise: k = 1.3, σ = 10 in 10 trailing steps is just above


@dataclass(frozen=True)
class DepthSettings:
    """How a frame is estimated, beside the steering. Raises ValueError naming the field, its value, what was expected.

    num_inference_steps: network calls a member. ensemble_size: members, each from its own noise, of which the median is
    taken, of two the mean. processing_resolution: of the longer side in pixels, a multiple of the VAE's factor; 0 is
    the image's own. uncertainty: also the members' median absolute deviation, of two the standard deviation.
    warm_start: share w in [0, 1) of the last frame's latents in (1 - w) noise + w latents, where the noise is the same
    at every frame; Marigold's recipe for video is 0.1; 0 is off. seed: of the noise, 0 to 2**64 - 1.
    """

    num_inference_steps: int = 10
    ensemble_size: int = 1
    processing_resolution: int = 768
    uncertainty: bool = False
    warm_start: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"num_inference_steps": 1, "ensemble_size": 1, "processing_resolution": 0, "seed": 0}
        for name, smallest in least.items():
            _check_whole(name, getattr(self, name), smallest)
        if not isinstance(self.uncertainty, bool):
            raise ValueError(f"uncertainty is {self.uncertainty!r}, expected true or false")
        if self.uncertainty and self.ensemble_size == 1:
            raise ValueError("uncertainty is the spread of an ensemble, but ensemble_size is 1; use 2 or more")
        number = isinstance(self.warm_start, (int, float)) and not isinstance(self.warm_start, bool)
        if not (number and 0 <= self.warm_start < 1):
            raise ValueError(f"warm_start is {self.warm_start!r}, expected 0 (off) to below 1, such as 0.1")


@dataclass(frozen=True, eq=False)
class DepthEstimate:
    """Depth of an image of H x W pixels.

    relative: (H, W) float32, 0 (near) to 1 (far), planar depth up to an unknown scale and shift. uncertainty: (H, W)
    float32 >= 0 in the same unit, the members' deviation, or None. initial_latents, latents: what the
    sampler began and ended with, (ensemble_size, C, h, w) on the pipeline's device and in its dtype.
    """

    relative: NDArray[np.float32]
    uncertainty: NDArray[np.float32] | None
    initial_latents: Tensor = field(repr=False)
    latents: Tensor = field(repr=False)


class DepthEstimator:
    """Runs a Marigold depth pipeline frame by frame. One thread at a time.

    The pipeline is left as it is (its networks are shared); members go through the networks batch_size at a time, and
    the last bits of a result depend on that. Raises ValueError for float16 on the CPU, TypeError as steer does.
    """

    def __init__(self, pipeline: MarigoldDepthPipeline, batch_size: int = 1) -> None:
        check_half(pipeline.device, pipeline.dtype)
        _check_whole("batch_size", batch_size, 1)
        self._pipeline = steer(pipeline, Steering())
        self._pipeline.set_progress_bar_config(disable=True)
        self._batch_size = batch_size
        self._last: tuple[tuple[int, ...], Tensor] | None = None  # shape of the last image, and its latents

    @property
    def scheduler(self) -> Any:
        """The steered scheduler, for steering_warnings and psr_core.scheduler_levels.refusal."""
        return self._pipeline.scheduler

    @property
    def default_settings(self) -> DepthSettings:
        """Steps and resolution as the checkpoint says, one member."""
        config = self._pipeline.config
        own = {
            "num_inference_steps": config.default_denoising_steps,
            "processing_resolution": config.default_processing_resolution,
        }
        return DepthSettings(**{name: value for name, value in own.items() if value is not None})

    def reset(self) -> None:
        """Forget the last frame: the next warm start begins from noise."""
        self._last = None

    def estimate(
        self, image_rgb: NDArray[np.uint8], settings: DepthSettings, steering: Steering, frame_seed: int
    ) -> DepthEstimate:
        """Depth of an (H, W, 3) uint8 image.

        The noise follows from (settings.seed, frame_seed, member), so that the same arguments give the same result
        whatever ran before. With a warm start it follows from (settings.seed, member), and the result from the last
        frame, too, unless that had another size or ensemble. With k = 1 (plain) the result is bit for bit the stock
        pipeline's for the same latents. Raises ValueError naming what the image, the settings or the steering cannot
        be with this checkpoint, or when the result is not finite.
        """
        self.scheduler.steering = steering
        _check_image(image_rgb)
        _check_whole("frame_seed", frame_seed, 0)
        check_steps(self.scheduler, settings.num_inference_steps)
        self._check_ensemble(settings)
        address = settings.seed, 0 if settings.warm_start else frame_seed
        start = self._initial_latents(image_rgb.shape, settings, address)
        with self._injected_noise(address):
            output = self._pipeline(
                Image.fromarray(image_rgb),  # a tensor's strides would change the last bits, and arrays are refused
                num_inference_steps=settings.num_inference_steps,
                ensemble_size=settings.ensemble_size,
                processing_resolution=settings.processing_resolution,
                batch_size=self._batch_size,
                ensembling_kwargs=ENSEMBLING | (PAIR if settings.ensemble_size == 2 else {}),
                latents=start,
                output_uncertainty=settings.uncertainty,
                output_latent=True,
            )
        relative = output.prediction[0, :, :, 0]
        uncertainty = output.uncertainty[0, :, :, 0] if settings.uncertainty else None
        if not (np.isfinite(relative).all() and output.latent.isfinite().all()):
            self.reset()
            raise ValueError(
                f"depth is not finite at frame_seed {frame_seed} with {steering.label()} in {self._pipeline.dtype}; "
                "use k nearer to 1, or load the checkpoint with dtype bfloat16 or float32"
            )
        self._last = image_rgb.shape, output.latent
        return DepthEstimate(relative, uncertainty, start, output.latent)

    def _check_ensemble(self, settings: DepthSettings) -> None:
        invariance = self._pipeline.scale_invariant, self._pipeline.shift_invariant
        if settings.ensemble_size > 1 and not invariance[0]:
            raise ValueError(
                f"ensemble_size is {settings.ensemble_size}, but members cannot be aligned where the checkpoint says "
                f"scale_invariant, shift_invariant = {invariance}; use ensemble_size 1"
            )

    def _initial_latents(self, shape: tuple[int, ...], settings: DepthSettings, address: tuple[int, int]) -> Tensor:
        pipeline, size = self._pipeline, self._latent_size(shape, settings.processing_resolution)
        one = (1, pipeline.vae.config.latent_channels, *size)
        members = [torch.randn(one, generator=noise_generator(*address, m)) for m in range(settings.ensemble_size)]
        noise = torch.cat(members).to(pipeline.device)
        if settings.warm_start and self._last is not None:
            last_shape, last = self._last
            if (last_shape, last.shape) == (shape, noise.shape):
                noise = (1 - settings.warm_start) * noise + settings.warm_start * last.to(noise)
        return noise.to(pipeline.dtype)

    def _latent_size(self, shape: tuple[int, ...], resolution: int) -> tuple[int, int]:
        factor, (height, width) = self._pipeline.vae_scale_factor, shape[:2]
        if resolution % factor:
            raise ValueError(
                f"processing_resolution is {resolution}, expected 0 (the image's own) or a multiple of {factor}, the "
                f"VAE's factor; use {resolution - resolution % factor or factor}"
            )
        if resolution:
            longest = max(height, width)
            height, width = (side * resolution // longest for side in (height, width))
            if 0 in (height, width):
                raise ValueError(
                    f"processing_resolution {resolution} leaves no pixel of the short side; crop the image"
                )
        return -(-height // factor), -(-width // factor)

    @contextlib.contextmanager
    def _injected_noise(self, address: tuple[int, int]) -> Iterator[None]:
        """LCM draws noise in mid-course, and the pipeline takes no generator beside latents: seed the global one."""
        if not isinstance(self.scheduler, LCMScheduler):
            yield
            return
        device = self._pipeline.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            seed = noise_generator(*address, INJECTED).initial_seed()
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            else:
                torch.default_generator.manual_seed(seed)
            yield


def steering_warnings(settings: DepthSettings, steering: Steering, scheduler: Any) -> list[str]:
    """Why this many steps make the result, or the steering, pointless or harmful; each names a value and a cure.

    Empty when all is well. scheduler: DDIM's or LCM's, left as it is. Raises ValueError where it cannot take the steps.
    """
    count = settings.num_inference_steps
    steps, warnings = _steps(scheduler, count, steering), []
    if (first := steps[0]).level.alpha > MOST_SIGNAL:
        warnings.append(
            f"num_inference_steps = {count}: the first timestep is {first.timestep}, whose noise is too little for a "
            "start from pure noise; use 10 or more, or a checkpoint with timestep_spacing trailing"
        )
    if steering.is_identity or steering.integrator != "plain":
        return warnings
    say = f"num_inference_steps = {count} with steering {steering.label()}"
    effect = max(abs(step.factor - 1) for step in steps)
    if effect < NO_EFFECT:
        cure = "use 10 or more steps" if count < 10 else "use a larger σ, or k further from 1"
        return [*warnings, f"{say} does nothing: the noise is rescaled by {1 + effect:.3f} at most; {cure}"]
    shift = overshoot(scheduler, count, steering)
    if isinstance(scheduler, LCMScheduler):
        warnings.append(
            f"{say}: LCMScheduler goes to the predicted depth at every step, so that each is off by up to {shift:.2f} "
            "of the predicted noise and k acts once a step; use a checkpoint with DDIMScheduler, or k = 1"
        )
    elif shift > OVERSHOOT:
        enough = [n for n in (10, 20, 50, 100, 200) if n > count and overshoot(scheduler, n, steering) <= OVERSHOOT]
        more = f"num_inference_steps = {enough[0]} or more" if enough else "k nearer to 1"
        warnings.append(f"{say}: a step is off by {shift:.2f} of the predicted noise; use {more}, or turn the cap on")
    return warnings


def overshoot(scheduler: Any, num_inference_steps: int, steering: Steering) -> float:
    """By how much a rescaled step passes the predicted clean sample at worst, in units of the predicted noise; >= 0.

    A step from q = sigma_t/alpha to q' moves x/alpha by r (q - q') of the noise, and q would do; the last step, whose
    result is taken for clean whatever the scheduler says, moves it by r q. For k < 1 it is what the last step leaves.
    """
    steps = _steps(scheduler, num_inference_steps, steering)
    jumps = isinstance(scheduler, LCMScheduler)
    passed = [step.passed(to_clean=jumps) for step in steps[:-1]] + [step.passed(to_clean=True) for step in steps[-1:]]
    return max(*passed, abs(passed[-1]))


@dataclass(frozen=True)
class _Step:
    timestep: int
    level: Level
    after: Level
    factor: float

    def passed(self, to_clean: bool) -> float:
        after = Level(1.0, 0.0) if to_clean else self.after
        # Written so that pure noise, alpha = 0, needs no infinity: r - 1 vanishes there like alpha².
        beyond = (self.factor - 1) * self.level.sigma_t / self.level.alpha if self.level.alpha else 0.0
        return beyond - self.factor * after.sigma_t / after.alpha


def _steps(scheduler: Any, count: int, steering: Steering) -> list[_Step]:
    check_steps(scheduler, count)
    probe = copy.copy(scheduler)
    probe.set_timesteps(count)
    family, steps = family_of(probe), []
    for timestep in probe.timesteps.tolist():
        level, after = family.level(probe, timestep), family.next_level(probe, timestep)
        steps.append(_Step(timestep, level, after, noise_factor(level, steering, family.kept(level, after))))
    return steps


def check_steps(scheduler: Any, num_inference_steps: int) -> None:
    """Raises ValueError where the scheduler has fewer timesteps than that."""
    config, most = scheduler.config, scheduler.config.num_train_timesteps
    if isinstance(scheduler, LCMScheduler):
        most = config.original_inference_steps
    elif config.timestep_spacing == "leading":
        most -= config.steps_offset
    if num_inference_steps > most:
        raise ValueError(
            f"num_inference_steps is {num_inference_steps}, expected at most {most}, the timesteps there are"
        )


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**64:
        raise ValueError(f"{name} is {value!r}, expected a whole number from {least} to 2**64 - 1")


def _check_image(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = f"dtype {image.dtype}" if isinstance(image, np.ndarray) else f"type {type(image).__name__}"
        raise ValueError(f"image_rgb has {found}, expected a uint8 array (H, W, 3), 0 to 255; convert it first")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image_rgb has shape {image.shape}, expected (H, W, 3): rows, columns, red green blue")

"""Relative depth of one image, or of one frame after the other, under steering that may be turned at every frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, LCMScheduler, MarigoldDepthPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from psr_core.scheduler_levels import refusal
from psr_core.schedulers import steer
from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_perception.checks import check_whole
from psr_perception.depth.loading import check_half
from psr_perception.depth.settings import DepthSettings
from psr_perception.depth.step_warnings import check_steps

# The members are aligned by a search over finite differences, whose time grows with the pixels; this many are enough.
ENSEMBLING = {"max_res": 256}
PAIR = {"reduction": "mean"}  # torch's median of two is the smaller one, and its deviation nothing
INJECTED = 2**63  # address of the noise that LCM injects: no ensemble member has this number


@dataclass(frozen=True, eq=False)
class DepthEstimate:
    """Depth of an image; H x W pixels are the image's, or those processed where match_input_resolution is off.

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
        check_whole("batch_size", batch_size, 1)
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

    def check(self, settings: DepthSettings, steering: Steering) -> None:
        """Raises ValueError naming what the settings or the steering cannot be with this checkpoint."""
        if reason := refusal(self.scheduler, steering):
            raise ValueError(reason)
        check_steps(self.scheduler, settings.num_inference_steps)
        invariance = self._pipeline.scale_invariant, self._pipeline.shift_invariant
        if settings.ensemble_size > 1 and not invariance[0]:
            raise ValueError(
                f"ensemble_size is {settings.ensemble_size}, but members cannot be aligned where the checkpoint says "
                f"scale_invariant, shift_invariant = {invariance}; use ensemble_size 1"
            )
        resolution, factor = settings.processing_resolution, self._pipeline.vae_scale_factor
        if resolution % factor:
            raise ValueError(
                f"processing_resolution is {resolution}, expected 0 (the image's own) or a multiple of {factor}, the "
                f"VAE's factor; use {resolution - resolution % factor or factor}"
            )

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
        self.check(settings, steering)
        self.scheduler.steering = steering
        _check_image(image_rgb)
        check_whole("frame_seed", frame_seed, 0)
        address = settings.seed, 0 if settings.warm_start else frame_seed
        start = self._initial_latents(image_rgb.shape, settings, address)
        with self._injected_noise(address):
            output = self._pipeline(
                Image.fromarray(image_rgb),  # a tensor's strides would change the last bits, and arrays are refused
                num_inference_steps=settings.num_inference_steps,
                ensemble_size=settings.ensemble_size,
                processing_resolution=settings.processing_resolution,
                match_input_resolution=settings.match_input_resolution,
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
        """DDPM and LCM draw noise on the way; the pipeline takes no generator beside latents: seed the global one."""
        if not isinstance(self.scheduler, (DDPMScheduler, LCMScheduler)):
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


def _check_image(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = f"dtype {image.dtype}" if isinstance(image, np.ndarray) else f"type {type(image).__name__}"
        raise ValueError(f"image_rgb has {found}, expected a uint8 array (H, W, 3), 0 to 255; convert it first")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image_rgb has shape {image.shape}, expected (H, W, 3): rows, columns, red green blue")

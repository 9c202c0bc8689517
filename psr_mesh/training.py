"""Distils a volume from a prior: what a TrainingRun trains for an object."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from psr_core.distillation.distill import Distillation, DivergedError
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.latents import LatentPrior
from psr_core.distillation.lora import LoraCritic
from psr_core.distillation.method import Method, View
from psr_core.distillation.methods import make_method
from psr_core.distillation.multiview import CAMERA, MultiViewPrior, camera_numbers
from psr_core.distillation.noise import PICTURE, addressed_uniforms
from psr_core.distillation.novel_view import NovelViewPrior
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_core.distillation.trainer import DistillationTrainer
from psr_mesh import regularisers
from psr_mesh.cameras import Cameras, Rays, random_cameras
from psr_mesh.rendering import Light, Rendering, ray_offsets, render
from psr_mesh.settings import MeshSettings
from psr_mesh.view_prompts import ViewPrompts, multi_view, novel_view, perp_neg, same_words, view_words
from psr_mesh.volume import Volume

NOISES = 1 << 20  # at most, of a seed
SKY = (0.80, 0.95)  # brightness of the backgrounds that the prior knows
ABOVE = (0.4, 1.4)  # radians, of its lamps
EMPTY, FULL, FOG = 0.003, 0.95, 0.5  # of the mean opacity, the mean opacity, and the largest opacity


def noise_number(cameras: Cameras, side: float) -> Tensor:
    """Which of a seed's noises a view follows (B,): one for each cell of the sphere, `side` degrees wide and high."""
    around, up = cameras.azimuth % 360 // side, (cameras.elevation + 90) // side
    return (up * math.ceil(360 / side) + around).long()


class VolumeScene:
    """What a method sees of a volume: other views in each step, which follow from (seed, step) alone."""

    def __init__(self, settings: MeshSettings, volume: Volume, prior: LatentPrior, prompts: ViewPrompts, cameras: bool):
        self.settings, self.volume, self.prior, self.prompts, self.cameras = settings, volume, prior, prompts, cameras
        self.rendering: Rendering | None = None

    def view(self, step: int) -> View:
        settings, device = self.settings, self.volume.background.device
        for level, first in zip(self.volume.levels, settings.level_steps(), strict=True):
            level.requires_grad_(step >= first)
        cameras = self.prompts.placed(random_cameras(settings.cameras, settings.views, settings.seed, step))
        bins = self.prompts.bins(cameras).to(device)
        image, loss = self._look(cameras, step)
        seeds = NOISES * settings.seed + noise_number(cameras, settings.noise_bin).to(device)
        camera = camera_numbers(cameras.elevation, cameras.azimuth).to(device) if self.cameras else None
        return View(self.prior.encode(image), self.prompts.prompt(bins), seeds, bins, camera, image, loss)

    def _look(self, cameras: Cameras, step: int) -> tuple[Tensor, Tensor]:
        """The pictures (B, 3, H, W) that the prior is shown, and what the shape is asked to be beside likely."""
        settings, device = self.settings, self.volume.background.device
        _, height, width = self.prior.image_shape
        rows, columns = (height, width) if settings.pixels is None else (settings.pixels, settings.pixels)
        rays = cameras.rays(rows, columns)
        offsets = ray_offsets(rays, settings.seed, step).to(device)
        rays = rays.to(device)
        drawn = addressed_uniforms(4, settings.seed, torch.arange(settings.views), PICTURE, step).float().to(device)
        sky = (SKY[0] + (SKY[1] - SKY[0]) * drawn[:, :1, None]).expand(-1, 1, 3)
        weights = settings.regularisers
        seen = render(
            self.volume.field(),
            rays,
            sky,
            intervals=settings.intervals,
            offsets=offsets,
            normals=weights.orientation > 0 or weights.convexity > 0,
            light=_lamp(drawn[:, 1:]) if settings.lit else None,
        )
        self.rendering = seen
        image = seen.image.mT.reshape(settings.views, 3, rows, columns)
        if (rows, columns) != (height, width):
            image = F.interpolate(image, (height, width), mode="bilinear", antialias=rows > height)
        return image, self._loss(seen, rays, cameras, (rows, columns))

    def _loss(self, seen: Rendering, rays: Rays, cameras: Cameras, size: tuple[int, int]) -> Tensor:
        weights, opacity = self.settings.regularisers, seen.opacity.flatten()
        loss = weights.sparsity * regularisers.sparsity(opacity)
        loss = loss + weights.opaqueness * regularisers.opaqueness(opacity)
        if weights.z_variance:
            loss = loss + weights.z_variance * regularisers.z_variance(seen.samples, opacity)
        if weights.orientation:
            loss = loss + weights.orientation * regularisers.orientation(seen.samples, rays.directions.flatten(0, 1))
        if weights.convexity and seen.normal is not None:
            normals = (seen.normal @ cameras.rotation().to(seen.normal)).view(-1, *size, 3)
            loss = loss + weights.convexity * regularisers.convexity(normals)
        if weights.smoothness:
            loss = loss + weights.smoothness * regularisers.roughness(self.volume.field().logits)
        return loss * self.settings.views


class MeshTrainer(DistillationTrainer):
    """A volume for a prompt or a picture, on the prior's device.

    prior: its `empty` must be the settings'. Raises ValueError naming what does not go together, before any work, and
    DivergedError in train_step when the volume is not finite, empty, full or fog.
    """

    def __init__(self, settings: MeshSettings, prior: LatentPrior, identity: dict[str, Any]) -> None:
        self.settings, self.prior, self.identity = settings, prior, identity
        self.device: torch.device = prior.unet.device
        self.guided = GuidedPrior(prior, settings.steering)
        knows_camera = settings.method in ("vsd", "esd")
        method = self._method(CAMERA if knows_camera else 0)
        self.module = self.volume = Volume(settings.levels, settings.seed).to(self.device)
        self.scene = VolumeScene(settings, self.volume, prior, view_prompts(settings, prior), knows_camera)
        optimizer = torch.optim.Adam(self.volume.levels.parameters(), lr=settings.lr, betas=(0.9, 0.99), eps=1e-12)
        self.run = Distillation(method, self.scene, optimizer)

    def train_step(self) -> float:
        """One iteration; returns Distillation.loss."""
        loss = super().train_step()
        self._check()
        return loss

    def calls(self) -> dict[str, Any]:
        """Rows predicted with guidance, rows that the model computed for them, and both by iteration."""
        guided, model, steps = self.guided.guided, self.guided.model, max(1, self.step)
        return {"guided": guided, "model": model, "guided_each": guided / steps, "model_each": model / steps}

    def _method(self, cameras: int) -> Method:
        options = self.settings.method_options()
        if cameras:
            options |= {"cameras": cameras, "critic": LoraCritic(self.guided, cameras, 0)}
        return make_method(self.settings.method, self.guided, self.settings.steps, **options)

    def _check(self) -> None:
        seen = self.scene.rendering
        opacity = float("nan") if seen is None else float(seen.opacity.detach().mean())
        most = 0.0 if seen is None else float(seen.opacity.detach().max())
        problems = {
            "is not finite": not all(level.isfinite().all() for level in self.volume.levels),
            "is empty": opacity < EMPTY,
            "fills the whole picture": opacity > FULL,
            "is fog, opaque nowhere": most < FOG,
        }
        if wrong := [text for text, holds in problems.items() if holds]:
            raise DivergedError(
                f"the volume {wrong[0]} at iteration {self.step} (mean opacity {opacity:.3g}, largest {most:.3g}); "
                "use another seed, a smaller lr, or another guidance",
                [0],
            )


def view_prompts(settings: MeshSettings, prior: LatentPrior) -> ViewPrompts:
    """What the prior is asked for by view. Raises ValueError for settings that the kind of prior has no use for."""
    negative = settings.negative if settings.method == "nfsd" else None
    if isinstance(prior, NovelViewPrior):
        if settings.image is None:
            raise ValueError("image is missing: this prior is asked by a picture of the object")
        if settings.negative is not None:
            raise ValueError(
                f"negative is {settings.negative!r}, expected none: this prior is asked by a picture alone"
            )
        return novel_view(prior, read_picture(settings.image, prior.image_shape), settings.image_elevation)
    if settings.image is not None:
        raise ValueError(f"image is {settings.image}, expected none: this prior is asked by text alone")
    if isinstance(prior, MultiViewPrior):
        if settings.views % prior.views:
            raise ValueError(f"views is {settings.views}, expected a multiple of {prior.views}, which the prior sees")
        return multi_view(prior, settings.prompt, negative)
    assert isinstance(prior, StableDiffusionPrior)
    kinds = {"perp_neg": perp_neg, "words": view_words, "none": same_words}
    return kinds[settings.view_prompts](prior, settings.prompt, negative)


def read_picture(path: str | Path, shape: tuple[int, int, int]) -> Tensor:
    """A picture file as (3, H, W), 0 to 1, on white where it is transparent, in the prior's size.

    Raises ValueError for what is none."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"image {path} cannot be read, expected an 8-bit colour picture such as PNG or JPEG")
    colours = pixels[..., 2::-1] / 255.0
    if pixels.shape[2] == 4:
        opaque = pixels[..., 3:] / 255.0
        colours = colours * opaque + 1 - opaque
    resized = cv2.resize(colours, shape[2:0:-1], interpolation=cv2.INTER_AREA).clip(0, 1)
    return torch.from_numpy(np.ascontiguousarray(resized)).float().movedim(-1, 0)


def _lamp(drawn: Tensor) -> Light:
    """A lamp for each view, above and around as those of the prior's pictures. drawn: (B, 3), 0 to 1."""
    around = 2 * torch.pi * drawn[:, 0]
    up = ABOVE[0] + (ABOVE[1] - ABOVE[0]) * drawn[:, 1]
    towards = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], -1)
    return Light(towards, ambient=0.7, diffuse=0.4)

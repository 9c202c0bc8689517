"""The network: an image is encoded once, a small head is asked for the noise of many rotations, step after step.

The head looks at the image where points of the object would appear under the rotation it is asked about, as
pixel-aligned features do (Saito et al., PIFu, 2019). With a vector of the image alone, as in liepose-diffusion
(exp/model.py, whose backbone this is), the loss was where it began after 380 steps of 4,096 noised rotations; with such
a head, half as many rotations a step brought it down within 150. Further differences from there: the rotation enters by
its matrix instead of its logarithm, which is cut at half a turn; group instead of batch normalisation, so that weights
are averaged with all that belongs to them; a grey image.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, silu

from psr_core import so3
from psr_core.so3_diffusion import Denoiser, Steps, sample_so3, time_at
from psr_core.steering import Level, Steering
from psr_perception.pose.raycaster import DISTANCE, intrinsics
from psr_perception.pose.solids import RADIUS

TIMES = 100  # the time embedding's unit is the reference's training timestep
NEAREST = 0.1 * DISTANCE  # m, of a point to the camera's plane: learned points may leave the sphere about the object


@dataclass(frozen=True)
class PoseConfig:
    """The network's shape. Raises ValueError naming the field.

    image_size: pixels a side. channels, blocks: of the encoder's stages, each after the first at half the resolution.
    stem: how much the first layers shrink, 2 or 4. features: numbers that the whole image becomes. map_channels:
    numbers that each place of it becomes. points: of the object, looked up there. hidden: width of the head, even.
    """

    image_size: int = 48
    channels: tuple[int, ...] = (32, 64, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    stem: int = 2
    features: int = 256
    map_channels: int = 32
    points: int = 32
    hidden: int = 256

    def __post_init__(self) -> None:
        for name in ("channels", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.channels or len(self.channels) != len(self.blocks) or any(c < 8 or c % 8 for c in self.channels):
            raise ValueError(
                f"channels is {self.channels}, expected multiples of 8, one for each of blocks {self.blocks}"
            )
        if min(self.blocks) < 1:
            raise ValueError(f"blocks is {self.blocks}, expected numbers >= 1")
        if self.stem not in (2, 4):
            raise ValueError(f"stem is {self.stem}, expected 2 or 4")
        if self.image_size < 1 or self.image_size % self.shrink:
            raise ValueError(f"image_size is {self.image_size}, expected a multiple of {self.shrink}")
        for name in ("features", "map_channels", "points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number >= 1")
        if self.hidden < 2 or self.hidden % 2:
            raise ValueError(f"hidden is {self.hidden}, expected an even number >= 2")

    @property
    def shrink(self) -> int:
        """Pixels of the image to one of the last stage, along each side."""
        return self.stem * 2 ** (len(self.channels) - 1)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


REFERENCE = PoseConfig(224, (64, 128, 256, 512), (3, 4, 6, 3), 4, 512)  # a ResNet34, as liepose-diffusion has it


class Features(NamedTuple):
    """What images become. whole: (B, features). places: (B, map_channels, h, w), the same picture with fewer pixels."""

    whole: Tensor
    places: Tensor


class PoseNetwork(nn.Module):
    """encode() images once, then ask noise() of any number of rotations of each."""

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config)

    def encode(self, images: Tensor) -> Features:
        """Features of grey images (B, size, size) in [0, 1]. Raises ValueError for another size."""
        size = self.config.image_size
        if images.shape[1:] != (size, size):
            raise ValueError(f"images have shape {tuple(images.shape)}, expected (B, {size}, {size})")
        encoded: Features = self.encoder(2 * images[:, None] - 1)
        return encoded

    def noise(self, features: Features, rotations: Tensor, times: Tensor) -> Tensor:
        """Predicted noise (B, n, 3) of rotations (B, n, 3, 3) at times in [0, 1], (B, n) or (), of B images."""
        predicted: Tensor = self.head(features, rotations, times)
        return predicted

    def denoiser(self, features: Features) -> Denoiser:
        """What psr_core.so3_diffusion asks, for rotations (B, n, 3, 3) of the B images with these features."""

        def noise(rotations: Tensor, level: Level) -> Tensor:
            return self.noise(features, rotations, torch.tensor(time_at(level)).to(rotations))

        return noise

    @torch.no_grad()
    def sample(
        self,
        images: Tensor,
        count: int,
        steps: Steps,
        steering: Steering,
        eta: float,
        generators: list[torch.Generator],
    ) -> Tensor:
        """Rotations (B, count, 3, 3) of the objects in images (B, size, size), all in one batch.

        generators: one on the CPU for each image; what it draws does not depend on the other images. Raises ValueError
        when there are more or fewer, and as encode and sample_so3 do.
        """
        if len(generators) != len(images):
            raise ValueError(f"generators has {len(generators)} entries, expected one for each of {len(images)} images")
        features = self.encode(images)
        start = so3.random_rotations((len(images), count), generators, images.dtype, images.device)
        return sample_so3(self.denoiser(features), start, steps, steering, eta, generators)


class Encoder(nn.Module):
    """Residual network from images (B, 1, S, S) to features, those of places as a pyramid has them.

    Source of the pyramid: Lin et al., "Feature pyramid networks for object detection" (2017).
    """

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        width = config.channels[0]
        stem: list[nn.Module] = [nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.GroupNorm(8, width), nn.SiLU()]
        if config.stem == 4:
            stem.append(nn.MaxPool2d(3, 2, 1))
        self.stem = nn.Sequential(*stem)
        self.stages, self.laterals = nn.ModuleList(), nn.ModuleList()
        for number, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            first = ResidualBlock(width, channels, stride=2 if number else 1)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(channels, channels, 1) for _ in range(blocks - 1))))
            self.laterals.append(nn.Conv2d(channels, config.map_channels, 1))
            width = channels
        cells = (config.image_size // config.shrink) ** 2
        self.out = nn.Sequential(
            nn.Conv2d(width, 128, 1), nn.Flatten(), nn.SiLU(), nn.Linear(128 * cells, config.features)
        )

    def forward(self, images: Tensor) -> Features:
        x = self.stem(images)
        levels = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        places = levels.pop()
        while levels:
            finer = levels.pop()
            places = finer + interpolate(places, size=finer.shape[-2:], mode="bilinear")
        return Features(self.out(x), places)


class ResidualBlock(nn.Module):
    """Two convolutions and a way round them. Source: He et al. 2016, with group normalisation."""

    def __init__(self, width: int, channels: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, channels, 3, stride, 1, bias=False),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.GroupNorm(8, channels),
        )
        same = stride == 1 and width == channels
        self.skip = nn.Identity() if same else nn.Conv2d(width, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return silu(self.inner(x) + self.skip(x))


class Head(nn.Module):
    """Noise (B, n, 3) from features of B images, rotations (B, n, 3, 3) and times (B, n) or ()."""

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.hidden = hidden
        self.points = nn.Parameter(0.8 * RADIUS * on_sphere(config.points))
        self.seen = nn.Linear(config.points * config.map_channels, hidden)
        self.rotation = nn.Linear(9, hidden, bias=False)
        self.time = nn.Linear(hidden, hidden)
        self.by_image, self.by_time = nn.Linear(config.features, 2 * hidden), nn.Linear(hidden, 2 * hidden)
        self.blocks = nn.ModuleList(HeadBlock(hidden) for _ in range(2))
        self.out = nn.Linear(hidden, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Features, rotations: Tensor, times: Tensor) -> Tensor:
        x = silu(self.seen(look_up(features.places, self.points, rotations)) + self.rotation(rotations.flatten(-2)))
        time = self.time(sinusoids(TIMES * times, self.hidden))
        scale, shift = (self.by_image(silu(features.whole))[:, None] + self.by_time(silu(time))).chunk(2, dim=-1)
        for block in self.blocks:
            x = block(x, scale, shift)
        in_camera = self.out(x)
        return (rotations.mT.to(in_camera) @ in_camera[..., None]).squeeze(-1)  # noise acts in the body's frame


class HeadBlock(nn.Module):
    """Two layers and a way round them, scaled and shifted by a condition. Source: Peebles and Xie 2023 (adaLN)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        changed: Tensor = self.outer(silu(self.inner(silu(self.norm(x) * (1 + scale) + shift))))
        return x + changed


def look_up(places: Tensor, points: Tensor, rotations: Tensor) -> Tensor:
    """What the camera of psr_perception.pose.raycaster would see at an object's points, were they not hidden.

    places (B, C, h, w): features of pictures. points (m, 3): in the object's frame, m. rotations (B, n, 3, 3): object
    to camera. Returns (B, n, m C), between places bilinear; the picture's border goes on outside it.
    """
    focal, _ = intrinsics(1)
    x, y, z = (points @ rotations.mT).float().unbind(-1)  # (B, n, m): p Rᵀ is R p for every point p
    where = 2 * focal * torch.stack([x, y], dim=-1) / (z + DISTANCE).clamp(min=NEAREST)[..., None]
    seen = grid_sample(places.float(), where, padding_mode="border", align_corners=False)
    return seen.permute(0, 2, 3, 1).flatten(-2)


def on_sphere(count: int) -> Tensor:
    """Directions (count, 3) spread evenly over the sphere: a Fibonacci lattice."""
    place = torch.arange(count) + 0.5
    z, turn = 1 - 2 * place / count, place * math.pi * (1 + math.sqrt(5))
    return torch.stack([(1 - z**2).sqrt() * turn.cos(), (1 - z**2).sqrt() * turn.sin(), z], dim=-1)


def sinusoids(times: Tensor, width: int) -> Tensor:
    """The transformer's embedding of times (...), (..., width). Source: Vaswani et al. 2017."""
    rates = torch.exp(-math.log(1e4) * torch.arange(width // 2, dtype=times.dtype, device=times.device) / (width // 2))
    phases = times[..., None] * rates
    return torch.cat([phases.cos(), phases.sin()], dim=-1)

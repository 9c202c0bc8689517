"""The network: an image is encoded once, a small head is asked for the noise of many rotations, step after step.

Source: liepose-diffusion, exp/model.py (backbone, modulated Fourier blocks). Differences: the rotation enters by the
entries of its matrix at rising frequencies instead of its logarithm, which is cut at half a turn; group normalisation
instead of batch normalisation, so that averaging weights averages everything; a grey image.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from psr_core import so3
from psr_core.so3_diffusion import Denoiser, Steps, sample_so3, time_at
from psr_core.steering import Level, Steering

OCTAVES = 7  # of a rotation's entries: π/2 to 32 π, which tells a degree from the next
TIMES = 100  # the time embedding's unit is the reference's training timestep


@dataclass(frozen=True)
class PoseConfig:
    """The network's shape. Raises ValueError naming the field.

    image_size: pixels a side. channels, blocks: of the encoder's stages, each after the first at half the resolution.
    stem: how much the first layers shrink, 2 or 4. features: numbers an image becomes. hidden: width of the head, even.
    """

    image_size: int = 48
    channels: tuple[int, ...] = (32, 64, 96, 128)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    stem: int = 2
    features: int = 256
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
        if self.features < 1 or self.hidden < 2 or self.hidden % 2:
            raise ValueError(f"features is {self.features} and hidden {self.hidden}, expected >= 1 and an even number")

    @property
    def shrink(self) -> int:
        """Pixels of the image to one of the last stage, along each side."""
        return self.stem * 2 ** (len(self.channels) - 1)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


REFERENCE = PoseConfig(224, (64, 128, 256, 512), (3, 4, 6, 3), 4, 512)  # a ResNet34, as liepose-diffusion has it


class PoseNetwork(nn.Module):
    """encode() images once, then ask noise() of any number of rotations of each."""

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config.features, config.hidden)

    def encode(self, images: Tensor) -> Tensor:
        """Features (B, features) of grey images (B, size, size) in [0, 1]. Raises ValueError for another size."""
        size = self.config.image_size
        if images.shape[1:] != (size, size):
            raise ValueError(f"images have shape {tuple(images.shape)}, expected (B, {size}, {size})")
        encoded: Tensor = self.encoder(2 * images[:, None] - 1)
        return encoded

    def noise(self, features: Tensor, rotations: Tensor, times: Tensor) -> Tensor:
        """Predicted noise (B, n, 3) of rotations (B, n, 3, 3) at times in [0, 1], (B, n) or (), of features (B, F)."""
        predicted: Tensor = self.head(features, rotations, times)
        return predicted

    def denoiser(self, features: Tensor) -> Denoiser:
        """What psr_core.so3_diffusion asks, for rotations (B, n, 3, 3) of the images with these features (B, F)."""

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
        start = so3.random_rotations((len(images), count), generators, features.dtype, features.device)
        return sample_so3(self.denoiser(features), start, steps, steering, eta, generators)


class Encoder(nn.Module):
    """Residual network from an image (B, 1, S, S) to features (B, F)."""

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        width = config.channels[0]
        stages: list[nn.Module] = [nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.GroupNorm(8, width), nn.SiLU()]
        if config.stem == 4:
            stages.append(nn.MaxPool2d(3, 2, 1))
        for number, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            for block in range(blocks):
                stages.append(ResidualBlock(width, channels, stride=2 if number and not block else 1))
                width = channels
        cells = (config.image_size // config.shrink) ** 2
        self.trunk = nn.Sequential(*stages)
        self.out = nn.Sequential(
            nn.Conv2d(width, 128, 1), nn.Flatten(), nn.SiLU(), nn.Linear(128 * cells, config.features)
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.out(self.trunk(images))
        return features


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
        return nn.functional.silu(self.inner(x) + self.skip(x))


class Head(nn.Module):
    """Noise (B, n, 3) from features (B, F), rotations (B, n, 3, 3) and times (B, n) or ()."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.rotation = nn.Linear(2 * 9 * OCTAVES, hidden, bias=False)
        self.time = nn.Linear(hidden, hidden)
        self.by_image = FourierBlock(hidden, features)
        self.by_time = FourierBlock(hidden, hidden)
        self.out = nn.Linear(hidden, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, rotations: Tensor, times: Tensor) -> Tensor:
        x = self.rotation(octaves(rotations.flatten(-2)))
        x = self.by_image(x, features[:, None])
        x = self.by_time(x, self.time(sinusoids(TIMES * times, self.hidden)))
        noise: Tensor = self.out(x)
        return noise


class FourierBlock(nn.Module):
    """Waves of x whose amplitudes the condition chooses, beside a straight way: (..., d), (..., c) -> (..., d)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.amplitudes = nn.Linear(condition, 2 * width)
        self.inner, self.outer, self.skip = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        a, b = self.amplitudes(nn.functional.silu(condition)).chunk(2, dim=-1)
        phase = math.pi * self.inner(nn.functional.leaky_relu(x))
        waves: Tensor = self.outer(a * phase.cos() + b * phase.sin()) + self.skip(x)
        return waves


def octaves(values: Tensor) -> Tensor:
    """cos and sin of values in [-1, 1] at π/2, π, 2π, ...: (..., d) -> (..., 2 d OCTAVES)."""
    phases = torch.stack([math.pi / 2 * 2**i * values for i in range(OCTAVES)], dim=-1).flatten(-2)
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


def sinusoids(times: Tensor, width: int) -> Tensor:
    """The transformer's embedding of times (...), (..., width). Source: Vaswani et al. 2017."""
    rates = torch.exp(-math.log(1e4) * torch.arange(width // 2, dtype=times.dtype, device=times.device) / (width // 2))
    phases = times[..., None] * rates
    return torch.cat([phases.cos(), phases.sin()], dim=-1)

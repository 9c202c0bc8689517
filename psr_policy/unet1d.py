"""ConditionalUnet1D: predicts the noise in an action sequence by convolving along time.

Parameter names and shapes are those of Diffusion Policy (Chi et al. 2023, real-stanford/diffusion_policy, MIT), so that
weights trained there fit; the code is our own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from psr_policy.config import UnetOptions


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of a diffusion timestep at geometrically spaced frequencies, (B,) -> (B, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, timesteps: Tensor) -> Tensor:
        half = self.dim // 2
        frequencies = torch.exp(torch.arange(half, device=timesteps.device) * (-math.log(10000) / (half - 1)))
        angles = timesteps[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ConvBlock(nn.Module):
    """Convolution, group norm, Mish: (B, channels_in, T) -> (B, channels_out, T)."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, n_groups: int = 8) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, kernel_size, padding=kernel_size // 2),
            nn.GroupNorm(n_groups, channels_out),
            nn.Mish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class ResidualBlock(nn.Module):
    """Two convolution blocks with the condition applied between them, and a way around both.

    x (B, channels_in, T), condition (B, cond_dim) -> (B, channels_out, T).
    """

    def __init__(self, channels_in: int, channels_out: int, cond_dim: int, options: UnetOptions) -> None:
        super().__init__()
        kernel_size, n_groups = options.kernel_size, options.n_groups
        self.predict_scale = options.cond_predict_scale
        self.blocks = nn.ModuleList(
            [
                ConvBlock(channels_in, channels_out, kernel_size, n_groups),
                ConvBlock(channels_out, channels_out, kernel_size, n_groups),
            ]
        )
        self.cond_encoder = nn.Sequential(
            nn.Mish(), nn.Linear(cond_dim, channels_out * (2 if self.predict_scale else 1))
        )
        self.residual_conv = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        out = self.blocks[0](x)
        embedding = self.cond_encoder(condition)[..., None]
        if self.predict_scale:
            scale, bias = embedding.chunk(2, dim=1)
            out = scale * out + bias
        else:
            out = out + embedding
        result: Tensor = self.blocks[1](out) + self.residual_conv(x)
        return result


class Downsample(nn.Module):
    """Halves the length of (B, channels, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Doubles the length of (B, channels, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class ConditionalUnet1D(nn.Module):
    """Noise prediction for an action sequence, given observations as one global condition.

    input_dim: numbers in one action. global_cond_dim: length of the flattened observation history (To * Do).
    """

    def __init__(self, input_dim: int, global_cond_dim: int, options: UnetOptions) -> None:
        super().__init__()
        embed, dims = options.diffusion_step_embed_dim, options.down_dims
        cond_dim = embed + global_cond_dim
        self.diffusion_step_encoder = nn.Sequential(
            SinusoidalEmbedding(embed), nn.Linear(embed, embed * 4), nn.Mish(), nn.Linear(embed * 4, embed)
        )
        levels = list(zip((input_dim, *dims[:-1]), dims, strict=True))
        self.down_modules = nn.ModuleList()
        for level, (channels_in, channels_out) in enumerate(levels, start=1):
            self.down_modules.append(
                nn.ModuleList(
                    [
                        ResidualBlock(channels_in, channels_out, cond_dim, options),
                        ResidualBlock(channels_out, channels_out, cond_dim, options),
                        Downsample(channels_out) if level < len(levels) else nn.Identity(),
                    ]
                )
            )
        self.mid_modules = nn.ModuleList([ResidualBlock(dims[-1], dims[-1], cond_dim, options) for _ in range(2)])
        # The first level has no counterpart going up: its length is reached by the last upsampling.
        self.up_modules = nn.ModuleList(
            nn.ModuleList(
                [
                    ResidualBlock(channels_out * 2, channels_in, cond_dim, options),
                    ResidualBlock(channels_in, channels_in, cond_dim, options),
                    Upsample(channels_in),
                ]
            )
            for channels_in, channels_out in reversed(levels[1:])
        )
        self.final_conv = nn.Sequential(
            # Eight groups whatever n_groups says: the reference leaves this block at its default.
            ConvBlock(dims[0], dims[0], options.kernel_size),
            nn.Conv1d(dims[0], input_dim, 1),
        )

    def forward(self, sample: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Predicted noise (B, T, input_dim).

        sample (B, T, input_dim) noised actions; timesteps (B,) integers; condition (B, To, Do) normalised observations.
        """
        features = torch.cat([self.diffusion_step_encoder(timesteps), condition.flatten(1)], dim=-1)
        x = sample.transpose(1, 2)
        skips = []
        for level in self.down_modules:
            first, second, downsample = _parts(level)
            x = second(first(x, features), features)
            skips.append(x)
            x = downsample(x)
        for block in self.mid_modules:
            x = block(x, features)
        for level in self.up_modules:
            first, second, upsample = _parts(level)
            x = torch.cat([x, skips.pop()], dim=1)
            x = upsample(second(first(x, features), features))
        out: Tensor = self.final_conv(x)
        return out.transpose(1, 2)


def _parts(level: nn.Module) -> list[nn.Module]:
    return list(level.children())

"""What shapes are asked to be beside likely: losses to be descended, each a mean, with its weight left to the caller.

Source of the forms, unless told: threestudio, systems/sdi.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from psr_mesh.rendering import Samples

_EDGE = 1e-3  # of opacity, where a logarithm has no slope any more
_COARSE = 8  # pixels of a side that convexity is judged at


def orientation(samples: Samples, directions: Tensor) -> Tensor:
    """Surfaces that are seen should face the camera: mean over rays that see any of sum w max(0, n . d)^2, w held.

    directions: (R, 3) of all rays. Source: Verbin et al. 2022 (Ref-NeRF), equation 11.
    """
    if samples.normals is None:
        raise ValueError("samples have no normals; render with normals=True")
    away = (samples.normals * directions[samples.ray]).sum(1).relu()
    loss: Tensor = (samples.weights.detach() * away.square()).sum() / max(1, len(torch.bincount(samples.ray).nonzero()))
    return loss


def sparsity(opacity: Tensor) -> Tensor:
    """Little should be there: mean of sqrt(o^2 + 0.01) - 0.1 for opacity o (...), 0 where nothing is."""
    return (opacity.square() + 0.01).sqrt().mean() - 0.1


def opaqueness(opacity: Tensor) -> Tensor:
    """A pixel should see the object or not: the mean entropy of opacity (...), in nats; 0.008 at best."""
    o = opacity.clamp(_EDGE, 1 - _EDGE)
    return F.binary_cross_entropy(o, o)


def z_variance(samples: Samples, opacity: Tensor) -> Tensor:
    """Surfaces should be thin: the variance of t along rays of opacity above 0.5, a mean over these; 0 for none.

    opacity: (R,) of all rays. Source: Zhu et al. 2023 (HiFA).
    """
    share = samples.weights / opacity.clamp(min=1e-6)[samples.ray]
    mean = torch.zeros_like(opacity).index_add(0, samples.ray, share * samples.t)
    spread = share * (samples.t - mean[samples.ray]).square()
    solid = opacity > 0.5
    return spread[solid[samples.ray]].sum() / max(1, int(solid.sum()))


def convexity(normals: Tensor) -> Tensor:
    """Shapes should bulge to the camera: below 0 where normals turn outwards along the picture, above 0 where in.

    normals: (B, H, W, 3) rendered, in the camera's frame: x right, y up, z to the camera (world normals @ rotation).
    Source: Lukoianov et al. 2024 (SDI); in the camera's frame, for in the world's it depends on the azimuth.
    """
    coarse = F.interpolate(normals.movedim(-1, 1), (_COARSE, _COARSE), mode="bilinear").movedim(1, -1)
    left, right, above, below = coarse[:, :, :-1], coarse[:, :, 1:], coarse[:, :-1], coarse[:, 1:]
    across = torch.linalg.cross(left, right)[..., 1]
    down = -torch.linalg.cross(below, above)[..., 0]
    bulge: Tensor = across.mean() + down.mean()
    return -bulge


def roughness(logits: Tensor) -> Tensor:
    """Neighbours should be alike: the mean absolute difference of logits (C, R + 1, R + 1, R + 1) along the axes.

    Source: Rudin et al. 1992 (total variation).
    """
    return sum(((logits.diff(dim=axis)).abs().mean() for axis in (1, 2, 3)), logits.new_zeros(())) / 3

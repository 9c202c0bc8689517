"""Linear normalisation of observations and actions, stored with the weights: normalised = raw * scale + offset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

RANGE_EPS = 1e-4
STATISTICS = ("min", "max", "mean", "std")
OBS_NORMALIZATIONS = ("limits", "global_scale")


class LinearField(nn.Module):
    """Normalisation of one field (..., D). Buffers, all (D,) float32: scale, offset, and the data's statistics
    min, max, mean, std. NaN until fitted or loaded.
    """

    scale: Tensor
    offset: Tensor
    min: Tensor
    max: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        for name in ("scale", "offset", *STATISTICS):
            self.register_buffer(name, torch.full((dim,), float("nan")))

    def normalize(self, raw: Tensor) -> Tensor:
        return raw * self.scale + self.offset

    def unnormalize(self, normalized: Tensor) -> Tensor:
        return (normalized - self.offset) / self.scale

    def fit(self, data: Tensor) -> None:
        """Statistics of the data (N, D), and each dimension to [-1, 1]; a dimension that hardly moves goes to 0."""
        if data.ndim != 2 or data.shape[1] != len(self.scale) or not len(data):
            raise ValueError(f"data has shape {tuple(data.shape)}, expected (N >= 1, {len(self.scale)})")
        if not data.isfinite().all():
            raise ValueError("data holds NaN or infinite numbers; clean the demonstrations first")
        data = data.double()
        low, high = data.amin(0), data.amax(0)
        still = high - low < RANGE_EPS
        scale = torch.where(still, 1.0, 2 / torch.where(still, 1.0, high - low))
        offset = torch.where(still, -low, -1 - scale * low)
        std = data.std(0, correction=0)
        for name, value in {
            "scale": scale, "offset": offset, "min": low, "max": high, "mean": data.mean(0), "std": std
        }.items():  # fmt: skip
            getattr(self, name).copy_(value)

    def fit_global_scale(self, data: Tensor) -> None:
        """As fit, but one factor for every dimension: 1 / the largest magnitude, and no offset."""
        self.fit(data)
        largest = data.abs().max().clamp(min=RANGE_EPS)
        self.scale.fill_(1 / largest)
        self.offset.zero_()

    def leave_as_is(self, dims: Sequence[int]) -> None:
        """Passes the dimensions (indices) through unchanged: for numbers that live in [-1, 1] by their meaning."""
        for name, value in {"scale": 1.0, "offset": 0.0, "min": -1.0, "max": 1.0}.items():
            getattr(self, name)[list(dims)] = value

    def problem(self) -> str | None:
        """What makes the field unusable, in words, or None."""
        for name, buffer in self.named_buffers():
            if not buffer.isfinite().all():
                return f"{name} is not finite"
        if (self.scale == 0).any():
            return "scale is zero"
        return None


class Normalizer(nn.Module):
    """Normalisation of a policy's observations (`obs`) and actions (`action`), both LinearField."""

    def __init__(self, obs_dim: int, action_dim: int) -> None:
        super().__init__()
        self.obs = LinearField(obs_dim)
        self.action = LinearField(action_dim)

    def fit(
        self, obs: Tensor, actions: Tensor, obs_normalization: str = "limits", unit_actions: Sequence[int] = ()
    ) -> None:
        """Fits to demonstrations: obs (N, Do), actions (N, Da), raw.

        Each action column goes to [-1, 1]; unit_actions: those that lie there by their meaning (rotation, gripper) stay
        unchanged with limits -1 and 1, as the reference does for robomimic tasks.
        obs_normalization: "limits" brings each dimension to [-1, 1]; "global_scale" is the reference's single factor.
        Raises ValueError on another name, other shapes, or numbers that are not finite.
        """
        if obs_normalization not in OBS_NORMALIZATIONS:
            expected = ", ".join(OBS_NORMALIZATIONS)
            raise ValueError(f"obs_normalization is {obs_normalization!r}, expected one of: {expected}")
        if obs_normalization == "limits":
            self.obs.fit(obs)
        else:
            self.obs.fit_global_scale(obs)
        self.action.fit(actions)
        self.action.leave_as_is(unit_actions)

"""Gaussian mixtures, for which everything is known: density, samples, target p̄_k and exact noise prediction.

    name: two_modes
    note: where the numbers come from      # may be left out
    sigma: 0.2                             # σ that steering uses on this mixture
    modes:
      - {weight: 0.5, mean: [0, 1], std: 0.2}                     # isotropic
      - {weight: 0.3, mean: [2, 1], std: [0.4, 0.1], angle: 30}   # by axis; turned by degrees, in two dimensions only
      - {weight: 0.2, mean: [4, 1], covariance: [[0.04, 0.01], [0.01, 0.09]]}

is the form that load_mixture reads; every dimension is possible.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor

from psr_core.steering import Level

WEIGHT_TOLERANCE = 1e-6
_DATA = Level(1.0, 0.0)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of M Gaussians in D dimensions: weights (M,), means (M, D), covariances (M, D, D), all float64.

    Raises ValueError unless shapes agree, everything is finite, weights are > 0 and sum to 1 within 1e-6, and every
    covariance is symmetric and positive definite; the message names the mode. Source: thesis, section 1.2.1.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        modes, dim = self.means.shape if self.means.ndim == 2 else (0, 0)
        shapes = {"weights": (modes,), "means": (modes, dim), "covariances": (modes, dim, dim)}
        for name, shape in shapes.items():
            value: Tensor = getattr(self, name)
            if value.shape != shape or value.dtype != torch.float64 or 0 in value.shape:
                expected = "weights (M,), means (M, D) and covariances (M, D, D) of torch.float64"
                raise ValueError(f"mixture {name} is {value.dtype} {tuple(value.shape)}, expected {expected}")
            if not value.isfinite().all():
                raise ValueError(f"mixture {name} is {value.tolist()}, expected finite numbers")
        total = float(self.weights.sum())
        if (self.weights <= 0).any() or abs(total - 1) > WEIGHT_TOLERANCE:
            raise ValueError(
                f"mixture weights are {self.weights.tolist()} with sum {total:.9g}, expected > 0 and sum 1"
            )
        for i, covariance in enumerate(self.covariances):
            if not torch.equal(covariance, covariance.mT) or torch.linalg.cholesky_ex(covariance).info.item():
                raise ValueError(
                    f"mixture mode {i} has covariance {covariance.tolist()}, expected symmetric and positive definite"
                )

    @property
    def dim(self) -> int:
        """D, the dimension of a sample."""
        return self.means.shape[1]

    def sharpened(self, k: float) -> GaussianMixture:
        """The target p̄_k: covariances divided by k > 0, weights and means as they are (thesis, section 1.2.1)."""
        if not (math.isfinite(k) and k > 0):
            raise ValueError(f"k is {k}, expected a finite number > 0")
        return replace(self, covariances=self.covariances / k)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n exact samples, (n, D) float64."""
        mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, 1, dtype=torch.float64, generator=generator)
        x: Tensor = self.means[mode, :, None] + torch.linalg.cholesky(self.covariances)[mode] @ noise
        return x.squeeze(-1)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x), (N, D) -> (N,), in the dtype of x."""
        return self._log_joint(x, _DATA)[0].logsumexp(0)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Probability that x came from each mode, (N, D) -> (N, M), in the dtype of x; NaN where x is not finite."""
        return self._log_joint(x, _DATA)[0].softmax(0).mT

    def denoiser(self) -> Callable[[Tensor, Level], Tensor]:
        """The exact noise prediction ε(x_t, level) = -σ_t ∇ log p(x_t), (N, D) -> (N, D), in the dtype of x_t.

        Finite for finite x_t at every level, α_t = 0 (where it is x_t/σ_t) and σ_t = 0 (where it is 0) included.
        A level with both zero has no density: ValueError. Computed with logsumexp, so far tails are exact too.
        """

        def epsilon(x: Tensor, level: Level) -> Tensor:
            log_joint, whitened, whitening = self._log_joint(x, level)
            pull = (log_joint.softmax(0)[:, None] * whitened).flatten(0, 1)  # (M·D, N)
            return ((level.sigma_t * whitening).to(x.dtype).flatten(0, 1).mT @ pull).mT

        return epsilon

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """Variances along the principal axes of each mode (M, D), and the axes, one a column (M, D, D)."""
        variances, axes = torch.linalg.eigh(self.covariances)
        return variances, axes

    def _log_joint(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor]:
        """log w_i N(x; mode i noised to level) (M, N), x whitened by mode (M, D, N), whitening matrices (M, D, D).

        Noised, mode i is N(α μ_i, α² Σ_i + σ_t² I), which has the same axes at every level. Samples stand last in
        the results: sums over modes and dimensions then run along memory.
        """
        variances, axes = self._axes
        spread = level.alpha**2 * variances + level.sigma_t**2
        if not (spread > 0).all():
            raise ValueError(f"level is {tuple(level)}, expected alpha or sigma_t above 0")
        whitening = axes.mT / spread.sqrt()[..., None]
        centres = whitening @ (level.alpha * self.means)[..., None]  # (M, D, 1)
        constant = self.weights.log() - (2 * math.pi * spread).log().sum(-1) / 2
        whitened = (whitening.to(x.dtype).flatten(0, 1) @ x.mT).view(*spread.shape, -1) - centres.to(x.dtype)
        return constant.to(x.dtype)[:, None] - whitened.square().sum(1) / 2, whitened, whitening


@dataclass(frozen=True, eq=False)
class NamedMixture:
    """A mixture as its file describes it; sigma is the σ that steering uses on it."""

    name: str
    note: str
    sigma: float
    mixture: GaussianMixture


def load_mixture(path: Path | str) -> NamedMixture:
    """Read a mixture from YAML, in the form this module's docstring shows.

    Raises ValueError naming file, mode, field, value and what was expected; OSError when the file cannot be read.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    fields = _fields(str(path), content, {"name", "sigma", "modes"}, {"note"})
    name, note = fields["name"], fields.get("note", "")
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):  # names files, too
        raise ValueError(f"{path}: name is {name!r}, expected text of letters, digits, _ and -")
    if not isinstance(note, str):
        raise ValueError(f"{path}: note is {note!r}, expected text")
    sigma = _number(f"{path}: sigma", fields["sigma"], positive=True)
    if not isinstance(fields["modes"], list) or not fields["modes"]:
        raise ValueError(f"{path}: modes is {fields['modes']!r}, expected a list of one mode or more")
    modes = [_mode(f"{path}: modes[{i}]", mode) for i, mode in enumerate(fields["modes"])]
    dims = [len(mean) for _, mean, _ in modes]
    if len(set(dims)) > 1:
        raise ValueError(f"{path}: modes have means of {dims} numbers, expected the same dimension in each")
    weights, means, covariances = zip(*modes, strict=True)
    try:
        mixture = GaussianMixture(
            torch.tensor(weights, dtype=torch.float64), torch.stack(means), torch.stack(covariances)
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return NamedMixture(name, " ".join(note.split()), sigma, mixture)


def _mode(place: str, content: Any) -> tuple[float, Tensor, Tensor]:
    """Weight, mean (D,) and covariance (D, D) of one entry of `modes`."""
    fields = _fields(place, content, {"weight", "mean"}, {"std", "angle", "covariance"})
    if ("std" in fields) == ("covariance" in fields) or ("angle" in fields and "std" not in fields):
        raise ValueError(f"{place} has {', '.join(fields)}, expected one of: std, std with angle, covariance")
    weight = _number(f"{place}.weight", fields["weight"], positive=True)
    mean = _vector(f"{place}.mean", fields["mean"])
    dim = len(mean)
    if "covariance" in fields:
        rows = fields["covariance"]
        if not isinstance(rows, list) or len(rows) != dim:
            raise ValueError(f"{place}.covariance is {rows!r}, expected {dim} rows of {dim} numbers")
        covariance = torch.stack([_vector(f"{place}.covariance[{i}]", row, dim) for i, row in enumerate(rows)])
        if not torch.equal(covariance, covariance.mT) or torch.linalg.cholesky_ex(covariance).info.item():
            raise ValueError(f"{place}.covariance is {rows!r}, expected symmetric and positive definite")
        return weight, mean, covariance
    std = fields["std"] if isinstance(fields["std"], list) else [fields["std"]] * dim
    deviations = _vector(f"{place}.std", std, dim)
    if not (deviations > 0).all():
        raise ValueError(f"{place}.std is {fields['std']!r}, expected numbers > 0")
    covariance = torch.diag(deviations.square())
    if "angle" in fields:
        if dim != 2:
            raise ValueError(f"{place}.angle is {fields['angle']!r}, expected none in {dim} dimensions, only in two")
        turn = _rotation(_number(f"{place}.angle", fields["angle"]))
        covariance = turn @ covariance @ turn.mT
        covariance = (covariance + covariance.mT) / 2  # symmetric to the last bit
    return weight, mean, covariance


def _rotation(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)


def _fields(place: str, content: Any, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{place} is {content!r}, expected the fields {', '.join(sorted(required | optional))}")
    if missing := required - content.keys():
        expected = ", ".join(sorted(required))
        raise ValueError(f"{place} lacks {', '.join(sorted(missing))}; expected at least: {expected}")
    if unknown := [str(name) for name in content if name not in required | optional]:
        expected = ", ".join(sorted(required | optional))
        raise ValueError(f"{place} has no field {', '.join(sorted(unknown))}; expected some of: {expected}")
    return content


def _vector(place: str, value: Any, size: int | None = None) -> Tensor:
    if not isinstance(value, list) or not value or size not in (None, len(value)):
        raise ValueError(f"{place} is {value!r}, expected a list of {size or 'one or more'} numbers")
    return torch.tensor([_number(f"{place}[{i}]", one) for i, one in enumerate(value)], dtype=torch.float64)


def _number(place: str, value: Any, positive: bool = False) -> float:
    expected = "a finite number > 0" if positive else "a finite number"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{place} is {value!r}, expected {expected}")
    if positive and value <= 0:
        raise ValueError(f"{place} is {value!r}, expected {expected}")
    return float(value)

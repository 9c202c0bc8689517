"""From samples of a rotation to what a robot can use: modes up to symmetry, their mean, covariance and a steady choice.

Covariances are of the tangent log(R_i R̄ᵀ), in the FIXED axes of the parent frame (the camera's), as
geometry_msgs/PoseWithCovariance wants them; in the object's own axes it would be R̄ᵀ C R̄.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psr_core import so3
from psr_perception.pose.symmetry import Symmetry

CANDIDATES = 64  # samples tried as the centre of a mode
ITERATIONS, CONVERGED = 10, 1e-8  # of a mean, at most; and the last step of one that is done, rad
HELD = 0.5  # of the heaviest mode's weight: with less, the one that was shown is given up
UNKNOWN = 1e6  # m², the variance of a translation that nothing is known of


@dataclass(frozen=True, eq=False)
class Mode:
    """Samples that agree, up to symmetry. rotation (3, 3): their mean. weight: their share of all samples.

    covariance (3, 3): rad², about the fixed axes of the parent frame. About a continuous symmetry axis it is 0, for
    every angle about it is as right as any other. members: numbers of the samples, int64.
    """

    rotation: Tensor
    weight: float
    covariance: Tensor
    members: Tensor

    @property
    def spread(self) -> float:
        """Root mean square of its samples' distance from it, up to symmetry, rad."""
        return float(self.covariance.trace().clamp(min=0)) ** 0.5


def find_modes(rotations: Tensor, symmetry: Symmetry, radius: float = 0.26, least_weight: float = 0.02) -> list[Mode]:
    """The modes of samples (N, 3, 3) up to symmetry, the heaviest first; every sample belongs to one at most.

    radius: rad, how far from its mean a mode reaches (0.26: 15 degrees). least_weight: share of all samples below
    which a group is no mode, so that strays may belong to none. The same samples give the same modes.
    Raises ValueError without samples, or for samples that are not finite.
    """
    if len(rotations) == 0 or not rotations.isfinite().all():
        raise ValueError(f"rotations has shape {tuple(rotations.shape)}, expected one or more, all of them finite")
    left, modes = torch.arange(len(rotations), device=rotations.device), []
    near = torch.zeros(0, len(rotations), dtype=torch.bool, device=rotations.device)  # of the first of those left
    while len(left):
        fresh = rotations[left[len(near) : CANDIDATES]]
        near = torch.cat([near, symmetry.within(fresh, rotations, radius)])
        around = near[:, left]
        samples, densest = rotations[left], around[around.sum(-1).argmax()]
        # The nearest of the symmetric forms to one member make a cluster in plain SO(3).
        rotation = mean_rotation(symmetry.nearest(samples[densest], samples[densest][0]))
        inside = symmetry.within(rotation[None], samples, radius)[0]
        weight = float(inside.sum()) / len(rotations)
        if weight < least_weight or not inside.any():
            break
        members = symmetry.nearest(samples[inside], rotation)
        rotation = mean_rotation(members)
        modes.append(Mode(rotation, weight, fixed_frame_covariance(members, rotation), left[inside]))
        near, left = near[~inside[: len(near)]], left[~inside]
    return sorted(modes, key=lambda mode: -mode.weight)


def mean_rotation(rotations: Tensor) -> Tensor:
    """The rotation (3, 3) with the least sum of squared distances to rotations (N, 3, 3) of one cluster.

    Source: Karcher's mean by its fixed point, begun at the chordal mean (Moakher 2002).
    """
    mean = so3.project(rotations.mean(0))
    for _ in range(ITERATIONS):
        step = so3.log(mean.mT @ rotations).mean(0)
        mean = mean @ so3.exp(step)
        if float(step.norm()) < CONVERGED:
            break
    return mean


def fixed_frame_covariance(rotations: Tensor, mean: Tensor) -> Tensor:
    """Mean of δ δᵀ (3, 3), rad², with δ = log(R_i R̄ᵀ): about the parent frame's axes, of rotations (N, 3, 3)."""
    offsets = so3.log(rotations @ mean.mT)
    return offsets.mT @ offsets / len(rotations)


def pose_covariance(covariance: Tensor, translation_variance: float = UNKNOWN) -> list[float]:
    """The 36 numbers of a PoseWithCovariance, row by row (x, y, z, about x, about y, about z), from (3, 3) in rad².

    translation_variance: m² along each axis; the default says that the translation is not known.
    """
    whole = torch.zeros(6, 6, dtype=torch.float64)
    whole[:3, :3] = translation_variance * torch.eye(3)
    whole[3:, 3:] = covariance
    return [float(value) for value in whole.flatten()]


class StablePose:
    """Keeps a symmetric object's rotation from jumping: of all that look alike, the one nearest to the last."""

    def __init__(self, symmetry: Symmetry) -> None:
        self.symmetry = symmetry
        self.last: Tensor | None = None

    def choose(self, modes: Sequence[Mode], radius: float) -> int | None:
        """Which of the modes, the heaviest first, to go on with; None of none.

        The one within radius (rad) of the last rotation, as long as it has half the weight of the heaviest, so that two
        of nearly one weight do not take turns; else the heaviest.
        """
        if not modes:
            return None
        if self.last is not None:
            distances = [float(self.symmetry.distance(mode.rotation, self.last)) for mode in modes]
            nearest = distances.index(min(distances))
            if distances[nearest] <= radius and modes[nearest].weight >= HELD * modes[0].weight:
                return nearest
        return 0

    def update(self, rotation: Tensor) -> Tensor:
        """The rotation (3, 3) that looks like this one and is nearest to the last; the first is returned as it is."""
        stable = rotation if self.last is None else self.symmetry.nearest(rotation, self.last.to(rotation))
        self.last = stable
        return stable

    def reset(self) -> None:
        """Forgets the last rotation: for another object. Over a gap it is kept, for no other is better known."""
        self.last = None

"""How steadily an estimated rotation follows a symmetric object whose true rotation is known, frame by frame.

What looks like the truth R is R S, for every symmetry S of the object. An estimate follows the S for which R S is
nearest to it, and *jumps by a symmetry* where it moves, and that S changes, by more than a limit: it then turned as the
object did not. One S lies at least the group's smallest rotation from the next, so a finite group's limit is half of
that. About a continuous axis S may be any angle, and glides while an estimate keeps near to its last one and the object
turns about the axis; there the limit is LIMIT.

Two other things are counted apart. A *slip*: S changes by more than the limit, but the estimate moved by less, for it
stood still as the object turned on, or was missing meanwhile. A *leap*: it moved to what looks different by more than
the limit, as to another mode, whether or not S changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psr_core import so3
from psr_perception.pose.symmetry import Symmetry

LIMIT = math.radians(15)  # far more than an object turns between frames, far less than a turn drawn at random


@dataclass(frozen=True, eq=False)
class Moves:
    """What an estimate did from each frame that has one to the next such frame; angles in degrees, m moves.

    frames (m,) int64: those moved to. angles (m,): plain angle between the two. true (m,): the object's own.
    jumped, slipped, leapt (m,) bool: as the module says. errors (m + 1,): to the nearest of the rotations
    that look like the truth, of all frames that have an estimate (none of none).
    """

    frames: Tensor
    angles: Tensor
    true: Tensor
    jumped: Tensor
    slipped: Tensor
    leapt: Tensor
    errors: Tensor


def jump_limit(symmetry: Symmetry) -> float:
    """Beyond how many rad a change is a jump: half of a finite group's smallest rotation, else LIMIT."""
    if symmetry.axis is not None or len(symmetry.elements) == 1:
        return LIMIT
    return float(so3.angle(symmetry.elements[1:]).min()) / 2


def followed(symmetry: Symmetry, truth: Tensor, estimates: Tensor) -> Tensor:
    """The symmetries S (n, 3, 3) for which R S is nearest to the estimates, of truth R and estimates (n, 3, 3)."""
    return truth.mT @ symmetry.nearest(truth, estimates)


def moves(symmetry: Symmetry, truth: Tensor, estimates: Sequence[Tensor | None]) -> Moves:
    """The moves of estimates, each (3, 3) or None, of an object in truth (n, 3, 3) float64."""
    frames = torch.tensor([i for i, each in enumerate(estimates) if each is not None], dtype=torch.int64)
    found = torch.stack([each for each in estimates if each is not None]) if len(frames) else truth[:0]
    true, limit = truth[frames], jump_limit(symmetry)
    symmetries = followed(symmetry, true, found)
    angles, changed = so3.distance(found[:-1], found[1:]), so3.distance(symmetries[:-1], symmetries[1:]) > limit
    return Moves(
        frames[1:],
        angles.rad2deg(),
        so3.distance(true[:-1], true[1:]).rad2deg(),
        changed & (angles > limit),
        changed & (angles <= limit),
        symmetry.distance(found[:-1], found[1:]) > limit,
        symmetry.distance(true, found).rad2deg(),
    )

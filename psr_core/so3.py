"""Rotations as torch matrices (..., 3, 3), batched: exponential, logarithm, angles, random draws, projection.

Tangent vectors are axis times angle in rad, (..., 3). Every function keeps the dtype (float32 or float64) and device of
its argument. psr_core.rotations converts between the forms of files and messages instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

Generators = torch.Generator | list[torch.Generator]  # a list has one for each row of the first dimension


def exp(vector: Tensor) -> Tensor:
    """Rotation by |vector| rad about vector, (..., 3) -> (..., 3, 3); differentiable everywhere, 0 included.

    Source: Rodrigues' formula, its quotients written as sinc, which needs no small-angle case.
    """
    theta = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)[..., None]
    first = torch.sinc(theta / math.pi)  # sin θ / θ
    second = torch.sinc(theta / (2 * math.pi)) ** 2 / 2  # (1 - cos θ) / θ²
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    outer = vector[..., :, None] * vector[..., None, :]
    matrix: Tensor = theta.cos() * identity + first * skew(vector) + second * outer
    return matrix


def log(matrix: Tensor) -> Tensor:
    """The shortest tangent vector with exp(vector) = matrix, length in [0, pi], (..., 3, 3) -> (..., 3).

    As accurate near half a turn as near none; of the two vectors of exactly half a turn it gives one.
    """
    quat = matrix_to_quat(matrix)
    imaginary, real = quat[..., :3], quat[..., 3:]
    length = torch.linalg.vector_norm(imaginary, dim=-1, keepdim=True)
    angle = 2 * torch.atan2(length, real)
    vector: Tensor = imaginary * torch.where(length > 0, angle / length, 2.0)
    return vector


def angle(matrix: Tensor) -> Tensor:
    """How far a rotation turns, rad in [0, pi], (..., 3, 3) -> (...); accurate at both ends."""
    sine = torch.linalg.vector_norm(unskew(matrix - matrix.mT), dim=-1)
    return torch.atan2(sine, matrix.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Geodesic distance in rad, [0, pi], of rotations (..., 3, 3) that broadcast against each other."""
    return angle(a.mT @ b)


def random_rotations(
    shape: Sequence[int],
    generator: Generators,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Rotations (*shape, 3, 3), uniform on SO(3).

    generator: a list has one for each row shape[0], so that a row does not depend on what stands beside it. One on the
    CPU serves any device. Source: normal quaternions (Muller 1959).
    """
    return quat_to_matrix(randn_tensor((*shape, 4), generator, torch.device(device), dtype))


def project(matrix: Tensor) -> Tensor:
    """The nearest rotation in the Frobenius norm, (..., 3, 3) -> (..., 3, 3), of any matrices of rank 2 or more.

    Source: Arun et al. 1987; the smallest singular value's direction is mirrored where the determinant is below 0.
    """
    u, _, vh = torch.linalg.svd(matrix)
    signs = torch.ones_like(matrix[..., 0])
    signs[..., 2] = torch.linalg.det(u @ vh)
    rotation: Tensor = (u * signs[..., None, :]) @ vh
    return rotation


def matrix_to_quat(matrix: Tensor) -> Tensor:
    """Unit quaternions xyzw with w >= 0, (..., 3, 3) -> (..., 4).

    Source: Bar-Itzhack 2000. The rows of 4 q qᵀ are linear in the matrix; the one with the largest diagonal is used.
    """
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
    outer = matrix.new_empty((*matrix.shape[:-2], 4, 4))
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    outer[..., :3, :3] = matrix + matrix.mT + (1 - trace)[..., None, None] * identity
    outer[..., 3, :3] = outer[..., :3, 3] = unskew(matrix - matrix.mT)
    outer[..., 3, 3] = 1 + trace
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.take_along_dim(largest[..., None, None], dim=-2).squeeze(-2)
    quat = row / torch.linalg.vector_norm(row, dim=-1, keepdim=True)
    return torch.where(quat[..., 3:] < 0, -quat, quat)


def quat_to_matrix(quat: Tensor) -> Tensor:
    """Rotation matrices of quaternions xyzw of any length but 0, (..., 4) -> (..., 3, 3)."""
    unit = quat / torch.linalg.vector_norm(quat, dim=-1, keepdim=True)
    cross = skew(unit[..., :3])
    identity = torch.eye(3, dtype=quat.dtype, device=quat.device)
    matrix: Tensor = identity + 2 * unit[..., 3, None, None] * cross + 2 * cross @ cross
    return matrix


def skew(vector: Tensor) -> Tensor:
    """The matrix whose product with w is vector x w, (..., 3) -> (..., 3, 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    entries = [zero, -z, y, z, zero, -x, -y, x, zero]
    return torch.stack(entries, dim=-1).reshape(*x.shape, 3, 3)


def unskew(matrix: Tensor) -> Tensor:
    """The vector of a skew matrix, (..., 3, 3) -> (..., 3)."""
    return torch.stack([matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]], dim=-1)

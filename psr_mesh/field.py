"""What a volume must answer to become an object: how dense it is and of what colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

BATCH = 1 << 17  # points asked for at once


class Field(Protocol):
    """A volume in the cube [-1, 1]^3, z up, the object looking along +x. points (N, 3) float32."""

    def density(self, points: torch.Tensor) -> torch.Tensor:
        """(N,): absorption for each unit of length, at least 0."""

    def albedo(self, points: torch.Tensor) -> torch.Tensor:
        """(N, 3): red, green, blue, 0 to 1."""


def ask(
    question: Callable[[torch.Tensor], torch.Tensor], points: NDArray[np.floating], device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """A field's density (N,) or albedo (N, 3) at points (N, 3), without gradients, in batches.

    Raises ValueError for an answer that is not finite.
    """

    def answers() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(points), BATCH):
            batch = torch.as_tensor(points[start : start + BATCH], dtype=torch.float32, device=device)
            yield question(batch).detach().float().cpu().numpy()

    with torch.no_grad():
        found = np.concatenate(list(answers()))
    if not np.isfinite(found).all():
        what = getattr(question, "__name__", "answer")
        raise ValueError(f"the field's {what} is not finite everywhere in the cube; its optimisation has diverged")
    return found

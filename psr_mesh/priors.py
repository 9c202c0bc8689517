"""The prior that builds share, loaded once, and anew only where another text is moved away from."""

from __future__ import annotations

import torch

from psr_core.distillation.latents import LatentPrior
from psr_core.distillation.prior_folder import NOVEL_VIEW, open_prior


class Priors:
    """The prior of a folder or hub id, on a device, its networks in a dtype such as "float32".

    Raises what open_prior raises, ValueError for float16 without a GPU.
    """

    def __init__(self, model: str, device: str, dtype: str) -> None:
        if dtype == "float16" and device == "cpu":
            raise ValueError("dtype is float16 and device is cpu, where it is slow and overflows; use float32")
        self._folder, self._device, self._dtype = open_prior(model), device, getattr(torch, dtype)
        self._empty: str | None = None

    def get(self, empty: str) -> LatentPrior:
        """The prior that moves away from this text. Raises what PriorFolder.load raises."""
        if self._empty != empty:
            options = {} if self._folder.kind == NOVEL_VIEW else {"empty": empty}
            self._prior = self._folder.load(self._device, self._dtype, **options)
            self._empty = empty
        return self._prior

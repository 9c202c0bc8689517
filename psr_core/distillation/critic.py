"""What VSD and ESD know of the renderings: a noise prediction of their own, learned alongside."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.learned import VectorNet
from psr_core.distillation.method import View


class Critic(Protocol):
    """Predicts the noise of noised renderings, at its first use as the prior does.

    camera: (B, C), or None for "from anywhere".
    """

    def noise(self, x: Tensor, t: int, view: View, camera: Tensor | None) -> Tensor: ...
    def network(self) -> nn.Module: ...


class ResidualCritic:
    """The prior's prediction and a small network's correction of it, for priors of vectors: what LoRA is to a UNet.

    cameras: numbers in a camera, 0 for none. Raises ValueError for a prior whose samples are no vectors.
    """

    def __init__(self, prior: GuidedPrior, cameras: int, seed: int) -> None:
        shape = prior.prior.shape
        if len(shape) != 1:
            raise ValueError(f"vsd.critic is missing: the built-in one is for vectors, the prior's samples are {shape}")
        self.prior, self.cameras = prior, cameras
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = VectorNet(shape[0], cameras + 1)

    def network(self) -> nn.Module:
        return self._network

    def noise(self, x: Tensor, t: int, view: View, camera: Tensor | None) -> Tensor:
        """As Critic.noise; gradients reach the correction alone."""
        with torch.no_grad():
            base = self.prior.noise(x, t, view.prompt)
        known = x.new_zeros(len(x), self.cameras + 1)  # the last entry says whether there is a camera
        if camera is not None:
            known = torch.cat([camera.to(x.dtype), torch.ones_like(known[:, :1])], 1)
        log_ratio = torch.full((len(x),), self.prior.levels.ratio(t), device=x.device).log()
        correction: Tensor = self._network.to(x.device)(x.float(), log_ratio, known.float())
        return base + correction.to(x.dtype)

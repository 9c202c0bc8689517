"""LoRA as VSD's and ESD's critic: the prior's own UNet with a low-rank change of its attention, learned alongside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.method import View
from psr_core.distillation.stable_diffusion import StableDiffusionPrior

_HIDDEN = 64  # width of the camera's perceptron


class LowRank(nn.Module):
    """What is learned: up (out, rank) and down (rank, in) of each attention matrix, and a shift of the text features
    that follows from the camera. Both change nothing at first."""

    def __init__(self, unet: nn.Module, text_width: int, cameras: int, rank: int) -> None:
        super().__init__()
        self.matrices = {
            name: matrix
            for name, matrix in unet.named_parameters()
            if ".attn" in name and name.endswith(".weight") and matrix.ndim == 2
        }
        sides = [matrix.shape for matrix in self.matrices.values()]
        self.down = nn.ParameterList(torch.randn(rank, columns) / columns**0.5 for _, columns in sides)
        self.up = nn.ParameterList(torch.zeros(rows, rank) for rows, _ in sides)
        self.camera = nn.Sequential(nn.Linear(cameras + 1, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, text_width))
        for parameter in self.camera[2].parameters():
            nn.init.zeros_(parameter)

    def weights(self) -> dict[str, Tensor]:
        """The changed attention matrices by name, in the UNet's dtype."""
        pairs = zip(self.matrices.items(), self.up, self.down, strict=True)
        return {name: matrix + (up @ down).to(matrix.dtype) for (name, matrix), up, down in pairs}


class LoraCritic:
    """A psr_core.distillation.critic.Critic for Stable Diffusion priors; what it adds is kept in float32.

    cameras: numbers in a camera, 0 for none. rank: of the change. Its predictions are counted like the prior's.
    Source: Hu et al. 2022 (LoRA); Wang et al. 2023 (ProlificDreamer), section 4, who add the camera to the timestep.
    """

    def __init__(self, prior: GuidedPrior, cameras: int = 0, seed: int = 0, rank: int = 4) -> None:
        if not isinstance(prior.prior, StableDiffusionPrior):
            raise ValueError("vsd.critic: LoRA is for Stable Diffusion priors, this prior is another")
        self.prior, self.model, self.cameras = prior, prior.prior, cameras
        unet = self.model.unet
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._change = LowRank(unet, unet.config.cross_attention_dim, cameras, rank).to(unet.device)

    def network(self) -> nn.Module:
        return self._change

    def noise(self, x: Tensor, t: int, view: View, camera: Tensor | None) -> Tensor:
        """As Critic.noise: the prior's own, by the changed matrices, the camera added to the text."""
        self.prior.guided += len(x)
        self.prior.model += len(x)
        known = x.new_zeros(len(x), self.cameras + 1)  # the last entry says whether there is a camera
        if camera is not None:
            known = torch.cat([camera.to(x), torch.ones_like(known[:, :1])], 1)
        text = view.prompt.positive["text"]
        shift: Tensor = self._change.camera(known.float())
        condition = {**view.prompt.positive, "text": text + shift[:, None].to(text)}
        return self.model.noise(x, t, condition, self._change.weights())

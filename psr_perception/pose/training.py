"""Trains a pose network on pictures that are rendered as they are needed, or on SYMSOL's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from psr_core import so3
from psr_core.devices import lower_precision, require_precision
from psr_core.so3_diffusion import perturb, sigma_at
from psr_core.training import INIT, VALIDATION, NetworkTrainer, TrainSettings, require_least, seed_all
from psr_perception.pose.appearance import render_varied
from psr_perception.pose.network import PoseConfig, PoseNetwork
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symsol_folder import SymsolFolder

VALIDATION_IMAGES = 64


@dataclass(frozen=True)
class PoseTrainSettings(TrainSettings):
    """An item of a batch is an image; noises: rotations noised for each, all on one encoding.

    precision: of the arithmetic while the network learns; its weights are float32.
    """

    steps: int = 100_000
    batch_size: int = 16
    noises: int = 256
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    grad_clip: float = 1.0
    ema_max: float = 0.999
    precision: str = "bfloat16"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, {"noises": 1})
        require_precision(self.precision)


class Pictures(Protocol):
    """What a network learns from. items: how many there are; identity: what a run resumes with only if it is the same.

    batch: grey pictures (B, size, size) in [0, 1] and their rotations (B, 3, 3), both float32, of items (B,). It may
    draw from torch's own generators, which are seeded for every step.
    """

    items: int
    identity: dict[str, Any]

    def batch(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]: ...


class RenderedSolids:
    """Pictures of solids in uniformly drawn rotations, never the same twice; item i shows solid i modulo their number.

    varied: share of the pictures that have light and background of their own. Raises ValueError for an unknown solid,
    or a share outside [0, 1].
    """

    def __init__(self, names: Sequence[str], size: int, supersampling: int = 2, varied: float = 0.5) -> None:
        if unknown := [name for name in names if name not in SOLIDS]:
            raise ValueError(f"solids has {', '.join(map(repr, unknown))}, expected some of: {', '.join(SOLIDS)}")
        if not 0 <= varied <= 1:
            raise ValueError(f"varied is {varied}, expected a share, 0 to 1")
        self.names, self.size, self.supersampling, self.varied = list(names), size, supersampling, varied
        self.items = 1000 * len(self.names)  # batches of a few dozen hold every solid about equally often
        self.identity: dict[str, Any] = {"solids": self.names, "supersampling": supersampling, "varied": varied}

    def batch(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        rotations = so3.quat_to_matrix(torch.randn(len(index), 4)).to(device)
        pictures = torch.empty(len(index), self.size, self.size, device=device)
        varied = torch.rand(len(index)) < self.varied
        for number, name in enumerate(self.names):
            for draw, wanted in ((render, ~varied), (render_varied, varied)):
                shown = ((index % len(self.names) == number) & wanted).to(device)
                if shown.any():
                    pictures[shown] = draw(SOLIDS[name], rotations[shown], self.size, self.supersampling)
        return pictures, rotations


class SymsolPictures:
    """The pictures of a local copy of SYMSOL, read from disk as they are needed."""

    def __init__(self, data: SymsolFolder, size: int) -> None:
        self.data, self.size, self.items = data, size, len(data)
        self.identity: dict[str, Any] = {"symsol": sorted(set(data.shapes)), "images": len(data)}

    def batch(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        pictures = torch.stack([self.data.image(int(number), self.size) for number in index])
        return pictures.to(device), self.data.rotations[index].to(device)


class PoseTrainer(NetworkTrainer):
    """Learns the noise of noised rotations, all times alike. averaged: the network to keep.

    pictures, judged: to learn from, and to judge by (never drawn the same for both).
    Source: liepose-diffusion, exp/testbed.py, with its chordal loss ||exp(z) - exp(ẑ)||².
    """

    settings: PoseTrainSettings

    def __init__(
        self,
        config: PoseConfig,
        settings: PoseTrainSettings,
        pictures: Pictures,
        judged: Pictures,
        device: torch.device | str = "cpu",
    ) -> None:
        place = torch.device(device)
        self.identity: dict[str, Any] = {**config.to_dict(), **pictures.identity}
        self.pictures, self.judged = pictures, judged
        seed_all(settings.seed, INIT, 0)
        network = PoseNetwork(config).to(place)
        self.averaged = copy.deepcopy(network).eval()
        super().__init__(settings, network, self.averaged, pictures.items, place)

    def batch_loss(self, index: Tensor) -> Tensor:
        assert isinstance(self.network, PoseNetwork)
        return self._loss(self.network, *self.pictures.batch(index, self.device))

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss of the averaged weights on pictures to judge by, always with the same noise."""
        rows = torch.arange(min(self.judged.items, VALIDATION_IMAGES))
        total = 0.0
        for number, index in enumerate(rows.split(self.settings.batch_size)):
            seed_all(self.settings.seed, VALIDATION, number)
            total += self._loss(self.averaged, *self.judged.batch(index, self.device)).item() * len(index)
        return total / len(rows)

    def _loss(self, network: PoseNetwork, pictures: Tensor, rotations: Tensor) -> Tensor:
        shape = (len(pictures), self.settings.noises)
        # Noise of more than half a turn is its shorter way round: exp(z), which the loss compares, is the same.
        target = so3.exp(torch.randn(*shape, 3)).to(self.device)
        times = torch.rand(shape).to(self.device)
        noised = perturb(rotations[:, None], sigma_at(times), so3.log(target))
        with lower_precision(self.device, self.settings.precision):
            predicted = network.noise(network.encode(pictures), noised, times)
        return (so3.exp(predicted.float()) - target).square().sum((-2, -1)).mean()

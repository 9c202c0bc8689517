"""What a prior is asked for in a view: its words, camera or picture, each a function of the view's bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psr_core.distillation.guidance import Prompt, view_weights
from psr_core.distillation.multiview import MultiViewPrior, camera_numbers
from psr_core.distillation.novel_view import NovelViewPrior, camera_change
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_core.object_folder import VIEWS
from psr_mesh.cameras import Cameras

VIEW_PROMPTS = ("perp_neg", "words", "none")
BIN = 15.0  # degrees, the sides of a bin where what is asked follows the camera
_AROUND, _UP = round(360 / BIN), round(180 / BIN)


def _as_it_is(cameras: Cameras) -> Cameras:
    return cameras


@dataclass(frozen=True, eq=False)
class ViewPrompts:
    """table: the prompt of every bin, a row each. bins(cameras): (B,) int64. placed: the cameras moved to where the
    prior can be asked about them exactly."""

    table: Prompt
    bins: Callable[[Cameras], Tensor]
    placed: Callable[[Cameras], Cameras] = _as_it_is

    def prompt(self, bins: Tensor) -> Prompt:
        """The prompt of views in these bins."""
        return self.table.rows(bins)


def same_words(prior: StableDiffusionPrior, text: str, negative: str | None = None) -> ViewPrompts:
    """The prompt alone, whatever the view."""
    return ViewPrompts(
        prior.prompt(text, 1, negative), lambda cameras: torch.zeros(len(cameras.azimuth), dtype=torch.int64)
    )


def view_words(prior: StableDiffusionPrior, text: str, negative: str | None = None) -> ViewPrompts:
    """The prompt and the word of the view: "a red mug, front view"."""
    said = {"text": prior.features([f"{text}, {word} view" for word in VIEWS])}
    return ViewPrompts(
        Prompt(said, _negative(prior, negative, len(VIEWS))),
        lambda cameras: torch.tensor([VIEWS.index(word) for word in cameras.words()]),
    )


def perp_neg(prior: StableDiffusionPrior, text: str, negative: str | None = None) -> ViewPrompts:
    """View words mixed by the azimuth, and those of other views moved away from; a bin is BIN degrees of |azimuth|, the
    last one overhead. Source: Armandpour et al. 2023 (Perp-Neg), as threestudio has it."""
    features = prior.features([f"{text}, {word} view" for word in VIEWS])
    mixes = [view_weights((i + 0.5) * BIN) for i in range(_UP)]
    mixed = torch.einsum("nk,klc->nlc", features.new_tensor([mix.positive for mix in mixes]), features[:3])
    said = {"text": torch.cat([mixed, features[3:]])}
    others = tuple({"text": one.expand(_UP + 1, -1, -1)} for one in features[:2])  # never away from the back
    weights = features.new_tensor([*(mix.negative[:2] for mix in mixes), (0.0, 0.0)]).mT

    def bins(cameras: Cameras) -> Tensor:
        around = ((cameras.azimuth + 180) % 360 - 180).abs()
        above = torch.tensor([word == "overhead" for word in cameras.words()])
        return torch.where(above, _UP, (around / BIN).long().clamp(max=_UP - 1))

    return ViewPrompts(Prompt(said, _negative(prior, negative, _UP + 1), others, weights), bins)


def multi_view(prior: MultiViewPrior, text: str, negative: str | None = None) -> ViewPrompts:
    """The prompt and the camera. Views of an object stand at one elevation and at equal steps around it, so that a bin
    says where all of them are, as a trajectory needs that they share."""
    table = _whole_sphere()
    camera = camera_numbers(table.elevation, table.azimuth).to(prior.unet.device)
    prompt = prior.prompt(text, len(camera), negative, camera=camera)

    def placed(cameras: Cameras) -> Cameras:
        first = torch.arange(len(cameras.azimuth)) // prior.views * prior.views
        steps = torch.arange(len(cameras.azimuth)) % prior.views * (360 / prior.views)
        together = Cameras(*(getattr(cameras, name)[first] for name in vars(cameras)))
        return _snapped(replace(together, azimuth=together.azimuth + steps))

    return ViewPrompts(prompt, _sphere_bins, placed)


def novel_view(prior: NovelViewPrior, image: Tensor, elevation: float) -> ViewPrompts:
    """A picture (3, H, W), 0 to 1, of the object's front from this elevation, and the change of camera."""
    table = _whole_sphere()
    wanted = torch.stack([table.elevation, table.azimuth, torch.ones_like(table.azimuth)], -1)
    changes = camera_change((elevation, 0.0, 1.0), wanted).to(prior.unet.device)
    return ViewPrompts(prior.prompt(image.to(prior.unet.device), changes), _sphere_bins, _snapped)


def _negative(prior: StableDiffusionPrior, text: str | None, rows: int) -> dict[str, Tensor] | None:
    return None if text is None else {"text": prior.features([text]).expand(rows, -1, -1)}


def _whole_sphere() -> Cameras:
    """A camera in the middle of every bin, elevation by elevation."""
    up = (torch.arange(_UP) + 0.5) * BIN - 90
    around = (torch.arange(_AROUND) + 0.5) * BIN
    elevation, azimuth = (one.flatten() for one in torch.meshgrid(up, around, indexing="ij"))
    rest = torch.zeros_like(azimuth)
    return Cameras(azimuth, elevation, rest, rest, rest[:, None].expand(-1, 3))


def _sphere_bins(cameras: Cameras) -> Tensor:
    up = ((cameras.elevation + 90) / BIN).long().clamp(0, _UP - 1)
    return up * _AROUND + (cameras.azimuth % 360 / BIN).long().clamp(0, _AROUND - 1)


def _snapped(cameras: Cameras) -> Cameras:
    """In the middles of their bins."""
    sphere, bins = _whole_sphere(), _sphere_bins(cameras)
    return replace(cameras, azimuth=sphere.azimuth[bins], elevation=sphere.elevation[bins])

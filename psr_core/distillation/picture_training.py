"""Distils pictures from a text-to-image prior, several seeds at once: what a TrainingRun trains for `psr distill2d`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.distill import Distillation
from psr_core.distillation.dsd import DSD
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.lora import LoraCritic
from psr_core.distillation.method import Method, View
from psr_core.distillation.methods import check_options, make_method
from psr_core.distillation.pictures import CoordinateMLP, Latents, Picture, PictureScene, Pixels, noise_pictures
from psr_core.distillation.published import PUBLISHED
from psr_core.distillation.schedule import RandomTimes
from psr_core.distillation.stable_diffusion import StableDiffusionPrior, require_text
from psr_core.distillation.trainer import DistillationTrainer
from psr_core.steering import Steering
from psr_core.training import require_least

LEARNING_RATES = {"latent": 0.01, "pixels": 0.05, "mlp": 0.001}  # Adam's, for each kind of picture
FALLBACK_GUIDANCE = 7.5  # of a method without a released code
OWN_FIELDS = ("guidance", "seed", "critic", "cameras")


@dataclass(frozen=True)
class PictureSettings:
    """What decides the pictures, beside the prior. Raises ValueError naming the field.

    method: of psr_core.distillation.methods, with `options` of it; published: those of its released code first.
    picture: latent, pixels or mlp. seed: of the first picture; the others of `seeds` follow. guidance: None for the
    released code's. lr: None for LEARNING_RATES' with Adam, but for DSD on latents, which descends as DDIM does.
    negative: what NFSD moves away from; for the others it takes the place of the empty text. perpendicular: texts that
    are moved away from where they do not contradict the prompt, with perpendicular_weight.
    """

    prompt: str
    method: str = "dsd"
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = False
    picture: str = "latent"
    steps: int = 500
    seed: int = 0
    seeds: int = 4
    guidance: float | None = None
    lr: float | None = None
    negative: str | None = None
    perpendicular: tuple[str, ...] = ()
    perpendicular_weight: float = -1.0
    steering: Steering = Steering()

    def __post_init__(self) -> None:
        texts = [("prompt", self.prompt), *(("perpendicular", text) for text in self.perpendicular)]
        for name, text in [*texts, *([] if self.negative is None else [("negative", self.negative)])]:
            require_text(name, text)
        require_least(self, {"steps": 1, "seed": 0, "seeds": 1})
        check_options(self.method, self.options)
        if self.picture not in LEARNING_RATES:
            raise ValueError(f"picture is {self.picture!r}, expected one of: {', '.join(LEARNING_RATES)}")
        if own := sorted(set(self.options) & set(OWN_FIELDS)):
            raise ValueError(f"options have {', '.join(own)}, which follow from the other settings; leave them out")
        if not callable(getattr(self.options.get("times", RandomTimes()), "time", None)):
            given = repr(self.options["times"])
            raise ValueError(f"options times is {given}, expected an object of psr_core.distillation.schedule")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}, expected a number > 0")
        if not math.isfinite(self.perpendicular_weight):
            raise ValueError(f"perpendicular_weight is {self.perpendicular_weight}, expected a finite number")
        if self.published and self.method not in PUBLISHED:
            raise ValueError(f"{self.method} has no released code; give its options one by one")
        if self.method == "nfsd" and self.negative is None:
            raise ValueError(
                "nfsd: negative is missing, expected words for what no picture should be, such as 'blurry'"
            )

    @property
    def empty(self) -> str:
        """The text that guidance moves away from."""
        return "" if self.negative is None or self.method == "nfsd" else self.negative


class PictureTrainer(DistillationTrainer):
    """Pictures of one prompt, of the seeds seed, seed + 1, ..., on the prior's device; rows of one batch.

    prior: its `empty` must be the settings'. A picture follows from its seed alone (up to a batch's last bits), but for
    vsd and esd, whose critic learns all of them. ESD's camera is the number of the picture: what it rewards is that
    pictures differ. Raises ValueError naming the option, before any work.
    """

    def __init__(self, settings: PictureSettings, prior: StableDiffusionPrior, identity: dict[str, Any]) -> None:
        self.settings, self.prior, self.identity = settings, prior, identity
        self.device: torch.device = prior.unet.device
        self.guided = GuidedPrior(prior, settings.steering)
        method = self._method()
        seeds = settings.seed + torch.arange(settings.seeds, device=self.device)
        away = dict.fromkeys(settings.perpendicular, settings.perpendicular_weight)
        negative = settings.negative if settings.method == "nfsd" else None
        prompt = prior.prompt(settings.prompt, settings.seeds, negative, away)
        camera = torch.eye(settings.seeds, device=self.device) if settings.method == "esd" else None
        blank = noise_pictures(prior.shape, seeds)
        self.module = self.picture = self._picture(method, View(blank, prompt, seeds, torch.zeros_like(seeds), camera))
        scene = PictureScene(self.picture, prior, prompt, seeds, camera)
        self.run = Distillation(method, scene, self._optimizer(method))

    @torch.no_grad()
    def images(self) -> Tensor:
        """The pictures as they are, (seeds, 3, H, W), 0 to 1."""
        return self.picture.image(self.prior)

    def calls(self) -> dict[str, Any]:
        """Rows predicted with guidance, rows that the model computed for them, and both by picture and iteration."""
        rows = self.settings.seeds * max(1, self.step)
        guided, model = self.guided.guided, self.guided.model
        return {"guided": guided, "model": model, "guided_each": guided / rows, "model_each": model / rows}

    def _method(self) -> Method:
        settings = self.settings
        released = PUBLISHED.get(settings.method, {})
        options = {**(released if settings.published else {}), **settings.options}
        options["guidance"] = (
            released.get("guidance", FALLBACK_GUIDANCE) if settings.guidance is None else settings.guidance
        )
        if settings.method in ("vsd", "esd"):
            options["cameras"] = settings.seeds if settings.method == "esd" else 0
            options["critic"] = LoraCritic(self.guided, options["cameras"], 0)
        return make_method(settings.method, self.guided, settings.steps, **options)

    def _picture(self, method: Method, view: View) -> Picture:
        """Noise; for DSD the first x̂0 of its trajectories, which it has to start from, where a picture can be given."""
        if self.settings.picture == "mlp":
            return CoordinateMLP(view.seeds, self.prior.image_shape[1:])
        start = view.x
        if isinstance(method, DSD):
            method.check(view)
            with torch.no_grad():
                start = method.initial(view)
        if self.settings.picture == "latent":
            return Latents(start)
        with torch.no_grad():
            return Pixels(self.prior.decode(start))

    def _optimizer(self, method: Method) -> torch.optim.Optimizer:
        settings = self.settings
        parameters = list(self.picture.parameters())
        if settings.lr is None and settings.picture == "latent" and isinstance(method, DSD) and method.times is None:
            return torch.optim.SGD(parameters, lr=method.learning_rate())
        rate = LEARNING_RATES[settings.picture] if settings.lr is None else settings.lr
        return torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))

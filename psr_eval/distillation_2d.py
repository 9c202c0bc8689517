"""Score distillation on images: pictures of every row and prompt from the same seeds, at the same number of calls.

A job is a row on a prompt. What it gives follows from its settings alone, whatever ran before it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from psr_core.distillation.distill import DivergedError
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.method import View
from psr_core.distillation.picture_training import FALLBACK_GUIDANCE
from psr_core.distillation.pictures import noise_pictures
from psr_core.distillation.sampling import sample_ddim, sample_ddpm
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_eval.distillation_2d_rows import DDIM, Row, iterations, trainer_of
from psr_eval.equal_calls import falling_rates
from psr_eval.image_files import Pixels
from psr_eval.kept import code_digest
from psr_eval.picture_jobs import file_name, write_strip

GREY = 127  # what stands where a picture diverged
REFERENCE = Row("DDIM, other noises", DDIM, (("steps", 50),))  # stands for real images where there are none
REFERENCE_SEED = 1_000_000  # first of its seeds, which no row has


@dataclass(frozen=True, eq=False)
class Setting:
    """What all jobs share. weights: sha256 of the prior's; seed: of the first picture, the others of `seeds` follow;
    calls: of the model, for each picture; negative: for NFSD; reach: sum of Adam's rates."""

    prior: StableDiffusionPrior
    weights: str
    prompts: tuple[str, ...]
    seeds: int
    seed: int
    calls: int
    picture: str
    negative: str
    reach: float

    def steps(self, row: Row) -> int:
        """Iterations of a row. Raises ValueError where it cannot be run, before any call of the model."""
        return iterations(row, self.prior, self.prompts[0], self.calls, self.negative)


class Made(NamedTuple):
    """Pictures (seeds, H, W, 3) uint8, side by side in that order, whether each is finite, iterations, guided calls and
    rows of the model for each picture, seconds."""

    pictures: Pixels
    finite: list[bool]
    iterations: int
    calls: float
    model: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Job:
    """The pictures of a row and a prompt, of the seeds `first`, `first` + 1, ..."""

    setting: Setting
    row: Row
    prompt: str
    first: int
    seeds: int

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        shared, unet = self.setting, self.setting.prior.unet
        return {
            "prior": shared.weights,
            "shape": list(shared.prior.shape),
            "dtype": str(unet.dtype),
            "device": unet.device.type,
            "row": self.row.settings(),
            "prompt": self.prompt,
            "first": self.first,
            "seeds": self.seeds,
            "calls": shared.calls,
            "picture": shared.picture if self.row.is_distillation else "latent",
            "reach": shared.reach if self.row.is_distillation else None,
            "negative": shared.negative if self.row.method == "nfsd" else None,
            "code": _code(),
        }

    def path(self, folder: Path) -> Path:
        """The file of the pictures."""
        return folder / "pictures" / f"{file_name(f'{self.row.name} {self.prompt}', self.settings())}.png"

    @property
    def pictures(self) -> int:
        """How many it makes."""
        return self.seeds

    def make(self, folder: Path) -> dict[str, Any]:
        """Makes the pictures' file; what is known of them beside it."""
        made = self.run()
        write_strip(self.path(folder), made.pictures)
        figures = {name: value for name, value in made._asdict().items() if name != "pictures"}
        return {**figures, "seconds": round(made.seconds, 3)}

    def run(self) -> Made:
        """Makes them. Where some diverge, each is made alone, so that the others stay as they are; not where pictures
        depend on each other: there all have diverged."""
        try:
            return self._distilled() if self.row.is_distillation else self._sampled()
        except DivergedError:
            if self.seeds > 1 and not self.row.shares:
                return _joined([replace(self, first=self.first + i, seeds=1).run() for i in range(self.seeds)])
        _, height, width = self.setting.prior.image_shape
        blank = np.full((self.seeds, height, width, 3), GREY, np.uint8)
        return Made(blank, [False] * self.seeds, 0, 0.0, 0.0, 0.0)

    def _distilled(self) -> Made:
        shared, steps = self.setting, self.setting.steps(self.row)
        started = time.perf_counter()
        chosen = {"seeds": self.seeds, "seed": self.first, "picture": shared.picture, "negative": shared.negative}
        trainer = trainer_of(self.row, shared.prior, self.prompt, steps, **chosen)
        optimizer, rates = trainer.run.optimizer, falling_rates(steps, shared.reach)
        while trainer.step < steps and not trainer.finished:
            if isinstance(optimizer, torch.optim.Adam):
                optimizer.param_groups[0]["lr"] = next(rates)
            trainer.train_step()
        with torch.no_grad():
            x, images = trainer.run.scene.view(steps).x, trainer.images()
        seconds = time.perf_counter() - started
        calls = trainer.calls()
        each = [calls[name] / self.seeds for name in ("guided", "model")]
        return Made(*pixels_of(x, images), trainer.step, *each, seconds)

    def _sampled(self) -> Made:
        prior, steps = self.setting.prior, self.setting.steps(self.row)
        started, guided = time.perf_counter(), GuidedPrior(prior, self.row.steering)
        seeds = self.first + torch.arange(self.seeds, device=prior.unet.device)
        blank = noise_pictures(prior.shape, seeds)
        view = View(blank, prior.prompt(self.prompt, self.seeds), seeds, torch.zeros_like(seeds))
        guidance = FALLBACK_GUIDANCE if self.row.guidance is None else self.row.guidance
        with torch.no_grad():
            x = (sample_ddim if self.row.method == DDIM else sample_ddpm)(guided, view, steps, guidance)
            images = prior.decode(x)
        seconds = time.perf_counter() - started
        return Made(*pixels_of(x, images), steps, guided.guided / self.seeds, guided.model / self.seeds, seconds)


def pixels_of(x: Tensor, images: Tensor) -> tuple[Pixels, list[bool]]:
    """Images (B, 3, H, W) as uint8 (B, H, W, 3), and which of them and of their samples are finite."""
    finite = x.isfinite().flatten(1).all(1) & images.isfinite().flatten(1).all(1)
    pixels = (images.float().nan_to_num().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    pixels[~finite.cpu().numpy()] = GREY
    return pixels, finite.tolist()


def _joined(parts: Sequence[Made]) -> Made:
    """Pictures that were made one by one; figures of cost are those of pictures that came to the end."""
    ended = [part for part in parts if part.finite[0]] or parts[:1]
    cost = [float(np.mean([getattr(part, name) for part in ended])) for name in ("calls", "model", "seconds")]
    pictures = np.concatenate([part.pictures for part in parts])
    return Made(pictures, [part.finite[0] for part in parts], ended[0].iterations, *cost)


@cache
def _code() -> str:
    here = Path(__file__).parent
    core = here.parent / "psr_core"
    names = ("integrators", "predictions", "steering")
    paths = [*sorted((core / "distillation").glob("*.py")), *(core / f"{name}.py" for name in names)]
    paths += [here / f"{name}.py" for name in ("distillation_2d", "distillation_2d_rows", "equal_calls")]
    return code_digest(paths)

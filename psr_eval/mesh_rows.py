"""The rows of distillation of objects: a method, its options, and how the view is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_eval.distillation_2d_rows import UNNATURAL
from psr_eval.equal_calls import falling_rates, most_iterations, plain_options
from psr_eval.silent_prior import SilentPrior
from psr_mesh.cameras import Cameras
from psr_mesh.settings import MeshSettings, preset_settings
from psr_mesh.training import MeshTrainer, VolumeScene


@dataclass(frozen=True)
class Row:
    """method: of psr_core.distillation.methods. options: of the method, after those of its released code where
    `published`. changes: of other fields of MeshSettings."""

    name: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()
    published: bool = False
    changes: tuple[tuple[str, Any], ...] = ()
    shares: ClassVar[bool] = False  # each object has a critic of its own

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        plain = {name: getattr(self, name) for name in ("name", "method", "published")}
        return {**plain, "options": plain_options(self.options), "changes": dict(self.changes)}


SDS, DSD = Row("SDS", "sds"), Row("DSD", "dsd")
RECOMPUTED = Row("DSD, nothing kept", "dsd", (("reading", "recomputed"),))
PUBLISHED = Row("DSD, as published", "dsd", published=True)
RANDOM = Row("DSD, random noise", "dsd", (("noise", "random"),))
LINEAR = Row("DSD, linear", "dsd", (("noise", "linear"),))
ONE_NOISE = Row("DSD, one noise", "dsd", changes=(("noise_bin", 360.0),))  # for all directions, as in the thesis
METHOD_ROWS = (
    SDS,
    Row("ASD", "asd"),
    Row("SDI", "sdi", published=True),
    Row("Consistent3D", "consistent3d"),
    Row("VSD", "vsd"),
    Row("HiFA", "hifa"),
    Row("ESD", "esd"),
    Row("NFSD", "nfsd"),
    DSD,
    RECOMPUTED,
    PUBLISHED,
    RANDOM,
    LINEAR,
    ONE_NOISE,
    Row("MSD", "msd"),
)
VIEW_ROWS = tuple(
    Row(f"DSD, {said}", "dsd", changes=(("view_prompts", name),))
    for said, name in (("no view words", "none"), ("view words", "words"), ("Perp-Neg", "perp_neg"))
)
GROUPS = {"methods": METHOD_ROWS, "views": VIEW_ROWS}
METHODS = tuple(dict.fromkeys(row.method for row in METHOD_ROWS))


def rows_of(groups: Sequence[str], methods: Sequence[str]) -> list[Row]:
    """The rows of groups that are of the methods."""
    return [row for group in groups for row in GROUPS[group] if row.method in methods]


def settings_of(
    row: Row, preset: str, prompt: str, seed: int = 0, steps: int = 1, negative: str = UNNATURAL
) -> MeshSettings:
    """An object of a row. negative: for NFSD alone. Raises ValueError as MeshSettings does."""
    return preset_settings(
        preset,
        prompt,
        method=row.method,
        options=dict(row.options),
        published=row.published,
        steps=steps,
        seed=seed,
        negative=negative if row.method == "nfsd" else None,
        **dict(row.changes),
    )


def rates(preset: str, steps: int) -> Iterator[float]:
    """Learning rates that fall linearly to 0, with the sum that the preset's have over its own steps, but from at most
    twice the preset's rate, beyond which a volume's colours saturate."""
    settings = preset_settings(preset, "an object")
    return falling_rates(steps, min(settings.steps * settings.lr, settings.lr * (steps + 1)))


def iterations(row: Row, prior: StableDiffusionPrior, preset: str, prompt: str, calls: int, negative: str) -> int:
    """The most iterations of a row that ask for no more than so many guided predictions an object, of all its views.

    Raises ValueError where one iteration costs more, and as counted_calls does.
    """
    return most_iterations(lambda steps: counted_calls(row, prior, preset, prompt, steps, negative), calls, row.name)


def preset_calls(prior: StableDiffusionPrior, preset: str, prompt: str) -> int:
    """What DSD asks for in the iterations of a preset."""
    return counted_calls(DSD, prior, preset, prompt, preset_settings(preset, prompt).steps, UNNATURAL)


@cache
def counted_calls(row: Row, prior: StableDiffusionPrior, preset: str, prompt: str, steps: int, negative: str) -> int:
    """The guided predictions that an object asks for in so many iterations, with the cameras of seed 0.

    Found by running the method on a prior that says nothing, and nothing rendered, which also refuses what the method
    cannot take, before any call of the model.
    """
    blind = _BlindPrior(prior)
    trainer = MeshTrainer(settings_of(row, preset, prompt, 0, steps, negative), blind, {})
    trainer.run.scene = _Unseen(**vars(trainer.scene))
    trainer.run.run()
    return trainer.guided.guided


class _BlindPrior(SilentPrior):
    """Nor has it an autoencoder."""

    def encode(self, image: Tensor) -> Tensor:
        return image.new_zeros(len(image), *self.shape) + 0 * image.sum()

    def decode(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), *self.image_shape)


class _Unseen(VolumeScene):
    """The views of a volume by name, which are not rendered."""

    def __init__(self, rendering: object, **given: Any) -> None:
        super().__init__(**given)

    def _look(self, cameras: Cameras, step: int) -> tuple[Tensor, Tensor]:
        image = torch.zeros(self.settings.views, *self.prior.image_shape, requires_grad=True)
        return image, 0 * image.sum()

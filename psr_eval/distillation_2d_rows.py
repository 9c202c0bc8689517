"""The rows of distillation on images: a method or a sampler, its options, guidance and steering.

All methods have the library's options with the guidance of their released code, but SDI, whose thesis inverts against
guidance: it has its released options. Rungs of the ladder are those of the thesis on SDI, figures 6.2, 6.3 and 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from psr_core.distillation.picture_training import FALLBACK_GUIDANCE, PictureSettings, PictureTrainer
from psr_core.distillation.schedule import AnnealedTimes
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_core.steering import Steering
from psr_eval.equal_calls import most_iterations, plain_options
from psr_eval.silent_prior import SilentPrior

DDIM, DDPM = "ddim", "ddpm"
SAMPLERS = (DDIM, DDPM)
SHARING = ("vsd", "esd")  # methods whose pictures are not independent: they share a critic
GUIDANCE = FALLBACK_GUIDANCE  # of every row that is not one of released guidance
REACH = {"latent": 3.0, "pixels": 10.0, "mlp": 0.2}  # sum of Adam's rates, whatever the iterations
# What NFSD moves away from, where nothing else is said (Katzir et al. 2024).
UNNATURAL = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"


@dataclass(frozen=True)
class Row:
    """method: of psr_core.distillation.methods, or a sampler (options: steps, else one a call). options: of the method,
    after those of its released code where `published`. guidance: None for the released code's, 7.5 of a sampler.
    rate: of plain descent on latents, None for Adam, or for the method's own rate where it has one."""

    name: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()
    published: bool = False
    guidance: float | None = None
    rate: float | None = None
    steering: Steering = Steering()

    @property
    def is_distillation(self) -> bool:
        """Whether it iterates a method, instead of sampling."""
        return self.method not in SAMPLERS

    @property
    def shares(self) -> bool:
        """Whether the pictures of a prompt depend on each other."""
        return self.method in SHARING

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        same = ("name", "method", "published", "guidance", "rate")
        plain = {name: getattr(self, name) for name in same}
        return {**plain, "options": plain_options(self.options), "steering": self.steering.to_dict()}


_WIDE = ("bandwidth", 5.0)  # of MSD at first: at 1 it keeps to the noise that it starts from


def _guided(name: str, method: str, *options: tuple[str, Any], **more: Any) -> Row:
    return Row(name, method, options, guidance=GUIDANCE, **more)


SDI = _guided("SDI", "sdi", published=True)
SDS = _guided("SDS", "sds")
DSD = _guided("DSD", "dsd")
SDS_RELEASED = Row("SDS, guidance 101", "sds")
DIALS = tuple(Steering(k=k, sigma=sigma) for k, sigma in ((0.7, 0.3), (2.0, 0.3), (0.9, 1.0), (1.2, 1.0)))
STEERED = tuple(replace(DSD, name=f"DSD, k = {dial.k:g}, σ = {dial.sigma:g}", steering=dial) for dial in DIALS)
METHOD_ROWS = (
    Row("DDIM", DDIM),
    Row("DDIM, 10 steps", DDIM, (("steps", 10),)),
    Row("DDPM", DDPM),
    SDS,
    SDS_RELEASED,
    _guided("ASD", "asd"),
    _guided("HiFA", "hifa"),
    Row("HiFA, guidance 101", "hifa"),
    _guided("NFSD", "nfsd"),
    _guided("VSD", "vsd"),
    _guided("ESD", "esd"),
    _guided("Consistent3D", "consistent3d"),
    Row("Consistent3D, guidance 51", "consistent3d"),
    SDI,
    DSD,
    _guided("DSD, grid 50", "dsd", ("grid", 50)),
    _guided("DSD, as published", "dsd", published=True),
    _guided("MSD", "msd", _WIDE),
    _guided("MSD, plain descent", "msd", _WIDE, rate=1.0),
    _guided("MSD, one call", "msd", _WIDE, ("sampler", "tweedie")),
    *STEERED,
)

_FALLING = ("times", AnnealedTimes(0.98, 0.25))


def _kappa(name: str, kappa: str, **options: Any) -> Row:
    return _guided(name, "sdi", ("kappa", kappa), *options.items())


LADDER = (
    Row("DDIM", DDIM),
    SDS_RELEASED,
    SDS,
    _guided("SDS, t falls", "sds", _FALLING),
    _kappa("SDS, t falls, weight s(t)", "random"),
    _kappa("κ fixed", "fixed"),
    _kappa("κ by fixed point", "fixed_point"),
    _kappa("κ by SGD", "sgd"),
    _kappa("κ by inversion", "inversion"),
    _kappa("κ by inversion, its guidance 7.5", "inversion", inversion_guidance=7.5),
    _kappa("κ by inversion, its guidance -7.5", "inversion", inversion_guidance=-7.5),
    SDI,
)
INVERSION_STEPS = tuple(
    _guided(f"SDI, {n} steps of inversion", "sdi", ("inversion_steps", n), published=True) for n in (1, 2, 5, 20, 40)
)
GROUPS = {
    "methods": METHOD_ROWS,
    "ladder": LADDER,
    "inversion_steps": (Row("DDIM", DDIM), SDI, *INVERSION_STEPS),
}
# Questions about changes, each with pairs of a row and the one that it is compared with.
STEERING_CHANGES = tuple((row.name, DSD.name) for row in STEERED)
LADDER_CHANGES = (
    (SDS.name, SDS_RELEASED.name),
    ("SDS, t falls", SDS.name),
    ("SDS, t falls, weight s(t)", "SDS, t falls"),
    ("κ fixed", "SDS, t falls, weight s(t)"),
    ("κ by fixed point", "SDS, t falls, weight s(t)"),
    ("κ by SGD", "SDS, t falls, weight s(t)"),
    ("κ by inversion", "SDS, t falls, weight s(t)"),
    ("κ by inversion, its guidance 7.5", "κ by inversion"),
    ("κ by inversion, its guidance -7.5", "κ by inversion"),
    ("SDI", "κ by inversion, its guidance -7.5"),
)
INVERSION_CHANGES = tuple((row.name, SDI.name) for row in INVERSION_STEPS)
METHODS = tuple(dict.fromkeys(row.method for group in GROUPS.values() for row in group))


def rows_of(groups: list[str], methods: list[str], picture: str) -> list[Row]:
    """The rows of groups that are of the methods, each once; those of plain descent only on latents."""
    every = dict.fromkeys(row for group in groups for row in GROUPS[group])
    return [row for row in every if row.method in methods and (row.rate is None or picture == "latent")]


def trainer_of(
    row: Row,
    prior: StableDiffusionPrior,
    prompt: str,
    steps: int,
    *,
    seeds: int = 1,
    seed: int = 0,
    picture: str = "latent",
    negative: str = UNNATURAL,
) -> PictureTrainer:
    """Pictures of a row that iterates a method. negative: for NFSD alone. Raises ValueError as PictureSettings does."""
    settings = PictureSettings(
        prompt,
        row.method,
        dict(row.options),
        row.published,
        picture,
        steps,
        seed,
        seeds,
        row.guidance,
        negative=negative if row.method == "nfsd" else None,
        steering=row.steering,
    )
    trainer = PictureTrainer(settings, prior, {})
    if row.rate is not None:
        trainer.run.optimizer = torch.optim.SGD(list(trainer.picture.parameters()), lr=row.rate)
    return trainer


@cache
def iterations(row: Row, prior: StableDiffusionPrior, prompt: str, calls: int, negative: str = UNNATURAL) -> int:
    """The most iterations of a row that ask for no more than so many guided predictions a picture.

    Found by running the method on a prior that says nothing, which also refuses what the method cannot take, before any
    call of the model. Raises ValueError where one iteration costs more.
    """
    if not row.is_distillation:
        return int(min(dict(row.options).get("steps", calls), prior.levels.last))
    silent = SilentPrior(prior)

    @cache
    def counted(steps: int) -> int:
        trainer = trainer_of(row, silent, prompt, steps, negative=negative)
        while trainer.step < steps:
            trainer.train_step()
        return trainer.guided.guided

    return most_iterations(counted, calls, row.name)

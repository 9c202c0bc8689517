"""The rows of the distillation toys: a method with its options, where particles start, and how it is steered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation import sampling
from psr_core.distillation.distill import Distillation, Points
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.levels import Levels, scaled_linear_levels
from psr_core.distillation.method import Method
from psr_core.distillation.methods import make_method
from psr_core.distillation.prior import Condition, Unencoded
from psr_core.distillation.published import PUBLISHED
from psr_core.distillation.schedule import AnnealedTimes
from psr_core.steering import Steering
from psr_eval.equal_calls import falling_rates, most_iterations, plain_options

LEVELS = scaled_linear_levels()  # Stable Diffusion's, which the methods' own times are made for
HALF_BOX = 2.4  # of the square that particles start on; every density has mean 0 and variance 1
REACH = 4.0  # how far a particle can go in a run, about; the rate of Adam follows from it
TRUTH, DDIM = "truth", "ddim"
_MAKING = Lock()  # VSD's critic takes its first weights from torch's own generator, which all threads share
STARTS = ("grid", "centre", "own")


class Silent(Unencoded):
    """A prior that predicts no noise anywhere: to count what a method asks for before it is run."""

    shape: tuple[int, ...] = (2,)
    conditions: tuple[str, ...] = ()

    def __init__(self, levels: Levels) -> None:
        self.levels = levels

    def noise(self, x: Tensor, t: float, condition: Condition) -> Tensor:
        return torch.zeros_like(x)

    def unconditional(self, x: Tensor) -> Condition:
        return {}


@dataclass(frozen=True)
class Row:
    """method: a distillation method's name, "ddim" (options: steps, else one a call), or "truth" for samples of the
    density itself. options: of the method. start: "grid" over the square, "centre" of the data, or "own", where DSD
    says. rate: of plain descent, None for Adam, or for the method's own rate where it has one. Raises ValueError."""

    name: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()
    start: str = "grid"
    steering: Steering = field(default_factory=Steering)
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}, expected one of: {', '.join(STARTS)}")
        if self.is_distillation:
            self.made(GuidedPrior(Silent(LEVELS)), 1)

    @property
    def is_distillation(self) -> bool:
        """Whether it iterates a method, instead of sampling."""
        return self.method not in (TRUTH, DDIM)

    def made(self, prior: GuidedPrior, steps: int, seed: int = 0) -> Any:
        """The method for a run of `steps`; in any thread."""
        with _MAKING:
            return make_method(self.method, prior, steps, seed=seed, **dict(self.options))

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        return {
            "name": self.name,
            "method": self.method,
            "options": plain_options(self.options),
            "start": self.start,
            "rate": self.rate,
            "steering": self.steering.to_dict(),
        }


def _published(method: str) -> tuple[tuple[str, Any], ...]:
    """The released code's options, without guidance: these densities take no prompt."""
    return tuple((name, value) for name, value in PUBLISHED[method].items() if "guidance" not in name)


_MSD = (("bandwidth", 1.0), ("last_bandwidth", 0.05))
ROWS = (
    Row("truth", TRUTH),
    Row("DDIM", DDIM),
    Row("DDIM, 10 steps", DDIM, (("steps", 10),)),
    Row("SDS", "sds"),
    Row("ASD", "asd"),
    Row("HiFA", "hifa"),
    Row("VSD", "vsd"),
    Row("Consistent3D", "consistent3d"),
    Row("SDI", "sdi"),
    Row("SDI, to little noise", "sdi", (("times", AnnealedTimes(0.98, 0.02)),)),
    Row("DSD", "dsd", start="own"),
    Row("DSD, grid 50", "dsd", (("grid", 50),), start="own"),
    Row("DSD, as published", "dsd", _published("dsd"), start="own"),
    Row("MSD", "msd", _MSD),
    Row("MSD, plain descent", "msd", _MSD, rate=1.0),
    Row("MSD, one call", "msd", (*_MSD, ("sampler", "tweedie"))),
    Row("MSD, paper's sampler", "msd", (*_MSD, ("sampler", "paper"))),
)
# More samples an iteration, for as many calls as can pay one.
SEVERAL = tuple(
    Row(f"MSD, plain descent, {samples} samples", "msd", (*_MSD, ("samples", samples)), rate=1.0) for samples in (2, 4)
)
CENTRED = tuple(
    Row(f"{row.name}, from the centre", row.method, row.options, "centre")
    for row in ROWS
    if row.name in ("SDS", "SDI", "DSD", "MSD")
)
DIALS = tuple(Steering(k=k, sigma=sigma) for sigma in (0.1, 0.5) for k in (0.5, 0.7, 1.5, 2.0, 4.0))
STEERED = tuple(Row(f"DSD, k = {dial.k:g}, σ = {dial.sigma:g}", "dsd", (), "own", dial) for dial in DIALS)
# A row, after which share of its run, and of how many gradients the mean is drawn; 0 for that of one seed.
LANDSCAPES = tuple(
    (next(row for row in ROWS if row.name == name), share, repeats)
    for name, share, repeats in (
        ("SDS", 0.5, 96),
        ("ASD", 0.5, 48),
        ("SDI", 0.5, 6),
        ("DSD", 0.5, 0),
        ("MSD, one call", 0.5, 1),
        ("MSD, one call", 0.95, 1),
    )
)
METHODS = tuple(dict.fromkeys(row.method for row in ROWS if row.method != TRUTH))


@cache
def iterations(row: Row, calls: int) -> int:
    """The most iterations of a row's method that ask for no more than so many predictions a particle.

    Found by running the method on a prior that says nothing. Raises ValueError where one iteration costs more.
    """
    if row.method == DDIM:
        return min(dict(row.options).get("steps", calls), LEVELS.last)
    return most_iterations(lambda steps: _counted(row, steps), calls, row.name)


@cache
def _counted(row: Row, steps: int) -> int:
    prior = GuidedPrior(Silent(LEVELS))
    method, scene = row.made(prior, steps), Points(torch.zeros(1, 2))
    with torch.no_grad():
        for step in range(steps):
            method.gradients(scene.view(step).detached(), step)
    return prior.guided


def starts(row: Row, method: Method, n: int, seed: int) -> Tensor:
    """Where n particles (n, 2) begin: spread evenly over the square (a Sobol net, so that any n will do); all at the
    centre; or at the first x̂0 of DSD's trajectories."""
    if row.start == "own":
        with torch.no_grad():
            own: Tensor = method.initial(Points(torch.zeros(n, 2)).view(0).detached())  # type: ignore[attr-defined]
        return own
    if row.start == "centre":
        return torch.zeros(n, 2)
    net = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed).draw(n)
    return HALF_BOX * (2 * net - 1)


def distil(row: Row, prior: GuidedPrior, n: int, steps: int, seed: int) -> Tensor:
    """Where a run takes n particles, (n, 2): by plain descent where the row says so, and DSD with times of its own, as
    it is derived; all others by Adam, whose rate falls to 0 linearly and has the sum REACH."""
    method = row.made(prior, steps, seed)
    scene = Points(starts(row, method, n, seed))
    if row.rate is not None or (row.method == "dsd" and method.times is None):
        rate = method.learning_rate() if row.rate is None else row.rate
        Distillation(method, scene, torch.optim.SGD([scene.theta], lr=rate)).run()
        return scene.theta.detach()
    rates = falling_rates(steps, REACH)
    optimizer = torch.optim.Adam([scene.theta], lr=next(rates), betas=(0.9, 0.99))

    def lower(step: int, view: Any) -> None:
        optimizer.param_groups[0]["lr"] = next(rates)

    Distillation(method, scene, optimizer).run(on_step=lower)
    return scene.theta.detach()


def sample_ddim(prior: GuidedPrior, n: int, steps: int, seed: int) -> Tensor:
    """DDIM's samples (n, 2) from the noises that DSD's particles follow."""
    with torch.no_grad():
        return sampling.sample_ddim(prior, Points(torch.zeros(n, 2)).view(0).detached(), steps, 1.0, seed)

"""What every distillation method shares; a method is how it chooses noise, time and target."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.noise import ITERATION, LEAD, addressed_normal, addressed_uniform
from psr_core.distillation.schedule import WEIGHTINGS, RandomTimes, Times
from psr_core.steering import Level


@dataclass(frozen=True, eq=False)
class View:
    """What an iteration sees of the parameters.

    x: (B, *shape) latents, or whatever the prior's samples are. seeds, bins: (B,) int64, which noise a row follows and
    which of the views; the prompt must be a function of the bin. camera: (B, C), for methods that model the renderings.
    image: (B, ...) what x was encoded from, if anything. loss: a number to be descended beside what the method wants.
    """

    x: Tensor
    prompt: Prompt
    seeds: Tensor
    bins: Tensor
    camera: Tensor | None = None
    image: Tensor | None = None
    loss: Tensor | None = None

    def detached(self) -> View:
        """What a method may look at: the view without its graph and its own loss."""
        return replace(self, x=self.x.detach(), image=None if self.image is None else self.image.detach(), loss=None)

    def rows(self, index: Tensor) -> View:
        """Some rows of the view."""
        camera, image = (None if one is None else one[index] for one in (self.camera, self.image))
        return View(self.x[index], self.prompt.rows(index), self.seeds[index], self.bins[index], camera, image)


class Gradients(NamedTuple):
    """What a method wants descended: d loss / d x, and d loss / d image where it looks at that, too."""

    x: Tensor
    image: Tensor | None = None


@dataclass(kw_only=True)
class Method:
    """A method: gradient() of a detached view at an iteration (from 0) of `steps`, to be descended.

    prior: guided and counted. seed: of all randomness, together with the seeds of a view. guidance: g in
    eps_uncond + g (eps_cond - eps_uncond). weighting: "variance" (1 - a), "ratio" (s) or "uniform". times: which level
    an iteration looks at. Raises ValueError naming the option; nothing is computed until gradients() is called.
    """

    name: ClassVar[str] = ""
    guidances: ClassVar[tuple[str, ...]] = ("guidance",)

    prior: GuidedPrior
    steps: int
    seed: int = 0
    guidance: float = 1.0
    weighting: str = "variance"
    times: Times = field(default_factory=RandomTimes)
    finished: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.require_least("steps", 1)
        self.require_least("seed", 0)
        self.require_one_of("weighting", tuple(WEIGHTINGS))
        for name in self.guidances:
            self.prior.check_guidance(f"{self.name}.{name}", getattr(self, name))

    def gradient(self, view: View, step: int) -> Tensor:
        """d loss / d x (B, *shape) of a detached view."""
        raise NotImplementedError

    def gradients(self, view: View, step: int) -> Gradients:
        """The same, with that of the image for methods that look at it."""
        return Gradients(self.gradient(view, step))

    def check(self, view: View) -> None:
        """Raises ValueError, before any work, for a view that the prior or the method cannot take."""
        self.prior.check(view.x, self.prior.levels.last, view.prompt, self.guidance)
        for name in ("seeds", "bins"):
            value: Tensor = getattr(view, name)
            if value.shape != view.x.shape[:1] or value.dtype != torch.int64:
                given = f"{value.dtype} {tuple(value.shape)}"
                raise ValueError(f"view {name} are {given}, expected torch.int64 ({len(view.x)},)")

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs beyond the options; noise is addressed, so most methods need nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict()."""

    def time(self, step: int) -> int:
        """The level an iteration looks at, 1 to T."""
        return self.times.time(self.prior.levels, step, self.steps, self.seed)

    def level(self, t: float) -> Level:
        """alpha and sigma_t at time t."""
        return self.prior.levels.level(t)

    def weight(self, t: float) -> float:
        """w(t)."""
        return WEIGHTINGS[self.weighting](self.level(t))

    def draw(self, view: View, step: int = 0, stream: int = ITERATION, draw: int = 0) -> Tensor:
        """Standard normal noise of the view's shape, addressed by its seeds, the iteration, a stream and a draw."""
        return addressed_normal(view.x, self.seed, view.seeds, stream, step, draw)

    def uniform(self, step: int, stream: int = LEAD) -> float:
        """One number in (0, 1) for an iteration, the same for every row."""
        return addressed_uniform(self.seed, stream, step)

    def noised(self, x: Tensor, eps: Tensor, t: float) -> Tensor:
        """x_t = alpha x + sigma_t eps."""
        level = self.level(t)
        return level.alpha * x + level.sigma_t * eps

    def predict(self, x: Tensor, t: float, view: View, guidance: float | None = None) -> Tensor:
        """The guided noise prediction of x_t under the view's prompt; with the method's guidance unless told."""
        return self.prior.noise(x, t, view.prompt, self.guidance if guidance is None else guidance)

    def require_least(self, name: str, least: int) -> None:
        """Raises ValueError unless an option is an integer of at least this."""
        value = getattr(self, name)
        if type(value) is not int or value < least:
            raise ValueError(f"{self.name}.{name} is {value!r}, expected an integer >= {least}")

    def require_between(self, name: str, low: float, high: float) -> None:
        """Raises ValueError unless an option is a finite number from low to high."""
        value = getattr(self, name)
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"{self.name}.{name} is {value!r}, expected a number from {low:g} to {high:g}")

    def require_one_of(self, name: str, choices: tuple[str, ...]) -> None:
        """Raises ValueError unless an option is one of the choices."""
        value = getattr(self, name)
        if value not in choices:
            raise ValueError(f"{self.name}.{name} is {value!r}, expected one of: {', '.join(choices)}")


def option_names(method: type[Method]) -> tuple[str, ...]:
    """The names of a method's options."""
    return tuple(one.name for one in dataclasses.fields(method) if one.init and one.name not in ("prior", "steps"))

"""What decides an object that is distilled into a volume, and the presets that are known to work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psr_core.distillation.methods import check_options
from psr_core.distillation.published import PUBLISHED
from psr_core.distillation.schedule import AnnealedTimes, RandomTimes
from psr_core.distillation.stable_diffusion import require_text
from psr_core.steering import Steering
from psr_core.training import require_finite, require_least
from psr_mesh.cameras import CameraRanges
from psr_mesh.view_prompts import VIEW_PROMPTS

# What differs on volumes, with a small prior, from a method's own defaults; docs/mesh.md says what was tried.
# DSD's trajectories are not guided: the noise of guided ones errs alike in all views, which does not average out.
VOLUME_OPTIONS: dict[str, dict[str, Any]] = {
    "dsd": dict(
        guidance=20.0,
        source_guidance=1.0,
        trajectory_guidance=1.0,
        weighting="variance",
        times=AnnealedTimes(0.98, 0.2, 0.5),
        capacity=1024,
    ),
    "sds": dict(guidance=25.0),
    "hifa": dict(guidance=25.0, image_weight=0.01),
    "consistent3d": dict(guidance=25.0),
}
FALLBACK_GUIDANCE = 7.5  # of a method without any
OWN_OPTIONS = ("guidance", "seed", "critic", "cameras")


@dataclass(frozen=True)
class Regularisers:
    """Weights of psr_mesh.regularisers, a view each, 0 for none. Raises ValueError naming the field."""

    orientation: float = 0.0
    sparsity: float = 0.0
    opaqueness: float = 0.0
    z_variance: float = 0.0
    convexity: float = 0.0
    smoothness: float = 0.0

    def __post_init__(self) -> None:
        require_finite(self, vars(self))


@dataclass(frozen=True)
class MeshSettings:
    """What decides an object, beside the prior. Raises ValueError naming the field.

    method: of psr_core.distillation.methods, with `options` of it, which change VOLUME_OPTIONS', or, if `published`,
    those of its released code. guidance: None for theirs. lr: Adam's. negative: takes the place of the empty text; for
    NFSD what no picture should be. view_prompts: "perp_neg" (view words that are mixed and moved away from), "words"
    (the view's word alone) or "none". image: a picture file of the object, for priors that are asked by one.
    image_elevation: degrees, that it was taken from; its azimuth is 0.
    levels: cells along a side of the volume's grids; those beyond the first come in at shares `grow` of the steps.
    views: rendered in an iteration, of `pixels` a side (None: the prior's own), a ray in `intervals` parts; lit: by a
    lamp, else with the albedo as it is. noise_bin: degrees; views from one cell of the sphere, so wide and high, follow
    the same noise.
    """

    prompt: str
    method: str = "dsd"
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = False
    steps: int = 600
    seed: int = 0
    guidance: float | None = None
    lr: float = 0.15
    negative: str | None = None
    view_prompts: str = "words"
    image: str | None = None
    image_elevation: float = 15.0
    steering: Steering = Steering()
    levels: tuple[int, ...] = (8, 16, 32)
    grow: tuple[float, ...] = (0.0, 0.0)
    views: int = 4
    pixels: int | None = None
    intervals: int = 48
    lit: bool = True
    noise_bin: float = 10.0
    cameras: CameraRanges = CameraRanges()
    regularisers: Regularisers = Regularisers(sparsity=20.0, opaqueness=20.0, smoothness=20.0)

    def __post_init__(self) -> None:
        for name, text in [("prompt", self.prompt), ("negative", self.negative)]:
            if text is not None:
                require_text(name, text)
        require_least(self, {"steps": 1, "seed": 0, "views": 1, "intervals": 4})
        check_options(self.method, self.options)
        if self.view_prompts not in VIEW_PROMPTS:
            raise ValueError(f"view_prompts is {self.view_prompts!r}, expected one of: {', '.join(VIEW_PROMPTS)}")
        if own := sorted(set(self.options) & set(OWN_OPTIONS)):
            raise ValueError(f"options have {', '.join(own)}, which follow from the other settings; leave them out")
        if not callable(getattr(self.options.get("times", RandomTimes()), "time", None)):
            given = repr(self.options["times"])
            raise ValueError(f"options times is {given}, expected an object of psr_core.distillation.schedule")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}, expected a number > 0")
        if not 1 <= self.noise_bin <= 360:
            raise ValueError(f"noise_bin is {self.noise_bin}, expected degrees from 1 to 360")
        if not -90 < self.image_elevation < 90:
            raise ValueError(f"image_elevation is {self.image_elevation}, expected degrees above -90 and below 90")
        if self.published and self.method not in PUBLISHED:
            raise ValueError(f"{self.method} has no released code; give its options one by one")
        if self.method == "nfsd" and self.negative is None:
            raise ValueError("nfsd: negative is missing, expected words for what no picture should be")
        if self.pixels is not None:
            require_least(self, {"pixels": 8})
        self._check_levels()

    @property
    def empty(self) -> str:
        """The text that guidance moves away from."""
        return "" if self.negative is None or self.method == "nfsd" else self.negative

    def method_options(self) -> dict[str, Any]:
        """All options of the method but its prior, steps, seed and critic."""
        released = PUBLISHED.get(self.method, {})
        usual = {"guidance": released.get("guidance", FALLBACK_GUIDANCE), **VOLUME_OPTIONS.get(self.method, {})}
        options = {**(released if self.published else usual), **self.options}
        return options if self.guidance is None else {**options, "guidance": self.guidance}

    def level_steps(self) -> list[int]:
        """The step that each level of the volume comes in at."""
        return [0, *(round(share * self.steps) for share in self.grow)]

    def _check_levels(self) -> None:
        pairs = zip(self.levels[:-1], self.levels[1:], strict=True)
        if not self.levels or any(fine <= coarse or fine % coarse for coarse, fine in pairs):
            raise ValueError(
                f"levels are {self.levels}, expected cells along a side, each a multiple of the one before"
            )
        rising = all(0 <= a <= b <= 1 for a, b in zip((0.0, *self.grow), (*self.grow, 1.0), strict=True))
        if len(self.grow) != len(self.levels) - 1 or not rising:
            raise ValueError(f"grow is {self.grow}, expected {len(self.levels) - 1} rising shares of the steps, 0 to 1")


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 250, "views": 2, "pixels": 32, "intervals": 32},
    "default": {},
}


def preset_settings(name: str, prompt: str, **overrides: Any) -> MeshSettings:
    """The settings of a preset with some fields changed. Raises ValueError for an unknown one, and as MeshSettings."""
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}, expected one of: {', '.join(PRESETS)}")
    return MeshSettings(prompt, **{**PRESETS[name], **overrides})

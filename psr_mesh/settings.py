"""What decides an object that is distilled into a volume, and the presets that are known to work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psr_core.distillation.methods import check_options
from psr_core.distillation.published import PUBLISHED
from psr_core.distillation.schedule import RandomTimes
from psr_core.distillation.stable_diffusion import require_text
from psr_core.steering import Steering
from psr_core.training import require_finite, require_least
from psr_mesh.cameras import CameraRanges
from psr_mesh.view_prompts import VIEW_PROMPTS

OWN_OPTIONS = ("guidance", "seed", "critic", "cameras")


@dataclass(frozen=True)
class Regularisers:
    """Weights of psr_mesh.regularisers, 0 for none. late_opaqueness, late_sparsity: their weights at the end, reached
    linearly. Raises ValueError naming the field."""

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

    method: of psr_core.distillation.methods, with `options` of it; published: those of its released code first.
    guidance: None for the released code's. lr: Adam's. negative: takes the place of the empty text; for NFSD what no
    picture should be. view_prompts: "perp_neg" (view words that are mixed and moved away from), "words" (the view's
    word alone) or "none". image: a picture file of the object, for priors that are asked by one. image_elevation:
    degrees, that it was taken from; its azimuth is 0.
    levels: cells along a side of the volume's grids; those beyond the first come in at shares `grow` of the steps.
    views: rendered in an iteration, of `pixels` a side (None: the prior's own), a ray in `intervals` parts.
    """

    prompt: str
    method: str = "dsd"
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = False
    steps: int = 300
    seed: int = 0
    guidance: float | None = None
    lr: float = 0.05
    negative: str | None = None
    view_prompts: str = "words"
    image: str | None = None
    image_elevation: float = 15.0
    steering: Steering = Steering()
    levels: tuple[int, ...] = (8, 16, 32)
    grow: tuple[float, ...] = (0.1, 0.3)
    views: int = 4
    pixels: int | None = None
    intervals: int = 48
    lit: bool = True
    noise_bin: float = 30.0
    cameras: CameraRanges = CameraRanges()
    regularisers: Regularisers = Regularisers()

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


PRESETS: dict[str, dict[str, Any]] = {"quick": {"steps": 100}, "default": {}}


def preset_settings(name: str, prompt: str, **overrides: Any) -> MeshSettings:
    """The settings of a preset with some fields changed. Raises ValueError for an unknown one, and as MeshSettings."""
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}, expected one of: {', '.join(PRESETS)}")
    return MeshSettings(prompt, **{**PRESETS[name], **overrides})

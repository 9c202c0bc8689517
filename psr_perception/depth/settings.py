"""How a depth map is to be estimated, checked once for all."""

from __future__ import annotations

from dataclasses import dataclass

from psr_perception.checks import check_whole


@dataclass(frozen=True)
class DepthSettings:
    """How a frame is estimated, beside the steering. Raises ValueError naming the field, its value, what was expected.

    num_inference_steps: network calls a member. ensemble_size: members, each from its own noise, of which the median is
    taken, of two the mean. processing_resolution: of the longer side in pixels, a multiple of the VAE's factor; 0 is
    the image's own. uncertainty: also the members' median absolute deviation, of two the standard deviation.
    warm_start: share w in [0, 1) of the last frame's latents in (1 - w) noise + w latents, where the noise is the same
    at every frame; Marigold's recipe for video is 0.1; 0 is off. seed: of the noise, 0 to 2**64 - 1.
    match_input_resolution: maps of the image's size; otherwise of the size that was processed.
    """

    num_inference_steps: int = 10
    ensemble_size: int = 1
    processing_resolution: int = 768
    uncertainty: bool = False
    warm_start: float = 0.0
    seed: int = 0
    match_input_resolution: bool = True

    def __post_init__(self) -> None:
        least = {"num_inference_steps": 1, "ensemble_size": 1, "processing_resolution": 0, "seed": 0}
        for name, smallest in least.items():
            check_whole(name, getattr(self, name), smallest)
        for name in ("uncertainty", "match_input_resolution"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected true or false")
        if self.uncertainty and self.ensemble_size == 1:
            raise ValueError("uncertainty is the spread of an ensemble, but ensemble_size is 1; use 2 or more")
        number = isinstance(self.warm_start, (int, float)) and not isinstance(self.warm_start, bool)
        if not (number and 0 <= self.warm_start < 1):
            raise ValueError(f"warm_start is {self.warm_start!r}, expected 0 (off) to below 1, such as 0.1")

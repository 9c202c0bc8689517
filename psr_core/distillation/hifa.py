"""HiFA: the gradient of SDS at annealed levels, on the latent and on the image it decodes to."""

from __future__ import annotations

from dataclasses import dataclass, field

from psr_core.distillation.method import Gradients, Method, View
from psr_core.distillation.schedule import AnnealedTimes, Times


@dataclass(kw_only=True)
class HiFA(Method):
    """w(t) (eps(x_t) - eps) on x, and image_weight w(t) (alpha / sigma_t) (image - decode(x̂0)) on the image.

    Where the view has no image, x is the image, and both terms fall on it. One guided prediction an iteration.
    Source: Zhu et al. 2024, equations 6 and 9; annealing sqrt .98 -> .30.
    """

    name = "hifa"

    image_weight: float = 0.01
    times: Times = field(default_factory=lambda: AnnealedTimes(0.98, 0.30, 0.5))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_between("image_weight", 0, 1e6)

    def gradients(self, view: View, step: int) -> Gradients:
        """As Method.gradients: that of x, and that of the image where the view has one."""
        t, eps = self.time(step), self.draw(view, step)
        level, x = self.level(t), self.noised(view.x, eps, t)
        said = self.predict(x, t, view)
        latent = self.weight(t) * (said - eps)
        clean = (x - level.sigma_t * said) / level.alpha
        scale = self.image_weight * self.weight(t) * level.alpha / level.sigma_t
        if view.image is None:
            return Gradients(latent + scale * (view.x - clean))
        return Gradients(latent, scale * (view.image - self.prior.prior.decode(clean)))

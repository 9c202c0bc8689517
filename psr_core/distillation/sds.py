"""Score distillation sampling: fresh noise, a random level, towards what the prior thinks the noise was."""

from __future__ import annotations

from torch import Tensor

from psr_core.distillation.method import Method, View


class SDS(Method):
    """w(t) (eps(x_t) - eps), eps ~ N(0, I) drawn anew. One guided prediction an iteration.

    Source: Poole et al. 2022 (DreamFusion), equation 3.
    """

    name = "sds"

    def gradient(self, view: View, step: int) -> Tensor:
        t, eps = self.time(step), self.draw(view, step)
        return self.weight(t) * (self.predict(self.noised(view.x, eps, t), t, view) - eps)

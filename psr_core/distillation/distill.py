"""The loop that every method runs in: render, ask for the gradient, descend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.method import Method, View

OnStep = Callable[[int, View], None]


class DivergedError(ValueError):
    """A gradient that is not finite. rows: of the batch, where it is not."""

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class Scene(Protocol):
    """Parameters and what is seen of them: view(step) must follow from the parameters and the step alone."""

    def view(self, step: int) -> View: ...


class Points:
    """The simplest scene: the parameters are the samples x (B, *shape) themselves.

    theta: the parameter. seeds: (B,) int64, by default 0 to B - 1. camera: (B, C) or None.
    """

    def __init__(self, x: Tensor, prompt: Prompt | None = None, seeds: Tensor | None = None, **view: Any) -> None:
        self.theta = x.detach().clone().requires_grad_()
        rows = torch.arange(len(x), device=x.device)
        self._rest = {"bins": torch.zeros_like(rows), "seeds": rows if seeds is None else seeds, **view}
        self.prompt = prompt or Prompt()

    def view(self, step: int) -> View:
        return View(x=self.theta, prompt=self.prompt, **self._rest)


class Distillation:
    """A run: `method` moves what `optimizer` holds, through the views of `scene`. step: iterations done.

    loss: half the squared gradient at x of the last iteration, mean over rows; as the codes log it, nothing falls to 0.
    """

    def __init__(self, method: Method, scene: Scene, optimizer: torch.optim.Optimizer) -> None:
        self.method, self.scene, self.optimizer, self.step = method, scene, optimizer, 0
        self.loss = 0.0

    def run(self, steps: int | None = None, on_step: OnStep | None = None) -> int:
        """Iterates up to `steps` of the method's (all by default), or until it is finished; returns iterations done.

        on_step(iterations done, view) follows each. Raises ValueError, before the iteration's work, for a view that
        method or prior cannot take, and DivergedError, which is one, for a gradient that is not finite.
        """
        last = self.method.steps if steps is None else min(steps, self.method.steps)
        while self.step < last and not self.method.finished:
            view = self.scene.view(self.step)
            self.method.check(view)
            with torch.no_grad():
                gradients = self.method.gradients(view.detached(), self.step)
            finite = gradients.x.isfinite().flatten(1).all(1)
            if not finite.all():
                raise DivergedError(
                    f"{self.method.name}: gradient is not finite at iteration {self.step}; use a smaller learning rate",
                    (~finite).nonzero().flatten().tolist(),
                )
            self.optimizer.zero_grad(set_to_none=True)
            wanted = [(view.x, gradients.x), (view.image, gradients.image)]
            pairs = [(one, gradient) for one, gradient in wanted if one is not None and gradient is not None]
            if view.loss is not None:
                pairs.append((view.loss, torch.ones_like(view.loss)))
            torch.autograd.backward([one for one, _ in pairs], [gradient for _, gradient in pairs])
            self.optimizer.step()
            self.step += 1
            self.loss = float(gradients.x.square().sum() / (2 * len(view.x)))
            if on_step is not None:
                on_step(self.step, view)
        return self.step

    def state_dict(self) -> dict[str, Any]:
        """All but the parameters, which their owner keeps."""
        method = {"finished": self.method.finished, **self.method.state_dict()}
        return {"step": self.step, "method": method, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse: the next iterations are those of an uninterrupted run."""
        self.step = state["step"]
        self.method.finished = state["method"]["finished"]
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])

"""Parameters that a method moves, as what a training run trains."""

from __future__ import annotations

from typing import Any, Protocol

from psr_core.distillation.distill import Distillation
from psr_core.distillation.guidance import GuidedPrior


class Stateful(Protocol):
    """What parameters stand in, such as a torch module."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class DistillationTrainer:
    """The part of psr_core.training_run.Trainer that all distillations share.

    module: whose parameters `run` moves; guided: the prior that its method asks.
    """

    module: Stateful
    run: Distillation
    guided: GuidedPrior

    @property
    def step(self) -> int:
        """Iterations done."""
        return self.run.step

    @property
    def finished(self) -> bool:
        """Whether the method has stopped of itself."""
        return self.run.method.finished

    def train_step(self) -> float:
        """One iteration; returns Distillation.loss."""
        self.run.run(self.run.step + 1)
        return self.run.loss

    def learning_rate(self) -> float:
        """The optimiser's, now."""
        rate: float = self.run.optimizer.param_groups[0]["lr"]
        return rate

    def validation_loss(self) -> None:
        """There is nothing to validate."""

    def state(self) -> dict[str, Any]:
        """Everything that resume() needs."""
        calls = {"guided": self.guided.guided, "model": self.guided.model}
        return {"module": self.module.state_dict(), "run": self.run.state_dict(), "calls": calls}

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on where state() was taken."""
        self.module.load_state_dict(state["module"])
        self.run.load_state_dict(state["run"])
        self.guided.guided, self.guided.model = state["calls"]["guided"], state["calls"]["model"]

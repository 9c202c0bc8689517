"""Variational score distillation: away from what renderings look like, towards what the prior wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.critic import Critic, ResidualCritic
from psr_core.distillation.method import Method, View
from psr_core.distillation.noise import CRITIC, CRITIC_TIME
from psr_core.distillation.schedule import RandomTimes, Times


@dataclass(kw_only=True)
class VSD(Method):
    """w(t) (eps(x_t) - critic(x_t, camera)); then the critic learns the renderings at a random level.

    The rows of a batch are particles that share the critic. critic: None for the built-in one of vectors, which costs
    a prediction of the prior each time (three guided ones an iteration). critic_rate: its AdamW's. camera_dropout: how
    often it learns without the camera. Source: Wang et al. 2023 (ProlificDreamer), algorithm 1 and its code.
    """

    name = "vsd"

    times: Times = field(default_factory=lambda: RandomTimes(after=5000))
    critic: Critic | None = None
    critic_rate: float = 1e-3
    camera_dropout: float = 0.1
    cameras: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_between("critic_rate", 0, 1)
        self.require_between("camera_dropout", 0, 1)
        self.require_least("cameras", 0)
        self._critic = self.critic or ResidualCritic(self.prior, self.cameras, self.seed)
        self._optimizer = torch.optim.AdamW(self._critic.network().parameters(), lr=self.critic_rate)

    def check(self, view: View) -> None:
        super().check(view)
        given = 0 if view.camera is None else view.camera.shape[1]
        if given != self.cameras:
            raise ValueError(f"view camera has {given} numbers, expected {self.cameras} ({self.name}.cameras)")

    def gradient(self, view: View, step: int) -> Tensor:
        """The class's formula, as Method.gradient; then the critic learns."""
        t = self.time(step)
        x = self.noised(view.x, self.draw(view, step), t)
        with torch.no_grad():
            rendered = self.rendered_noise(x, t, view)
        gradient = self.weight(t) * (self.predict(x, t, view) - rendered)
        self._learn(view, step)
        return gradient

    def rendered_noise(self, x: Tensor, t: int, view: View) -> Tensor:
        """The noise of x_t as the critic sees it."""
        return self._critic.noise(x, t, view, view.camera)

    def _learn(self, view: View, step: int) -> None:
        t = 1 + int(self.uniform(step, CRITIC_TIME) * self.prior.levels.last)
        eps = self.draw(view, step, CRITIC)
        camera = None if self.uniform(step, CRITIC) < self.camera_dropout else view.camera
        with torch.enable_grad():
            said = self._critic.noise(self.noised(view.x, eps, t), t, view, camera)
            loss = (said - eps).square().mean()
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"critic": self._critic.network().state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._critic.network().load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])

"""An environment that is a counter, and a plan whose episodes are played in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from psr_eval.player import EpisodePlayer
from psr_eval.rollouts import RolloutPlan


class Counter:
    """Counts the rows it is given, from the seed on. Succeeds at `goal` steps; refuses a row of NaN.

    The reward is half at the first step and, after that, a number that depends on every bit of the last row.
    """

    def __init__(self, goal: int = 100) -> None:
        self.goal = goal
        self.rows: list[float] = []

    def reset(self, seed: int) -> SimpleNamespace:
        self.seed, self.steps, self.reward = seed, 0, 0.0
        return self._observe()

    def step(self, row: np.ndarray) -> SimpleNamespace:
        if np.isnan(row).any():
            raise ValueError("row is nan")
        self.rows.append(float(row[0]))
        self.steps += 1
        self.reward = 0.5 if self.steps == 1 else 0.25 + float(np.abs(row).sum()) / 1000
        return self._observe()

    def _observe(self) -> SimpleNamespace:
        features = {"count": np.array([self.seed + self.steps])}
        success = self.steps >= self.goal
        return SimpleNamespace(features=features, step=self.steps, reward=self.reward, success=success)


@dataclass(frozen=True)
class CountingPlan(RolloutPlan):
    """Episodes of seed % 5 + 3 steps; those of `fatal` kill the process that plays them."""

    fatal: int = -1

    def check_task(self, config) -> None:
        """Every policy will do."""

    def player(self, config) -> EpisodePlayer:
        return SeededPlayer(Counter(), config, max_steps=0, fatal=self.fatal)


class SeededPlayer(EpisodePlayer):
    """Takes the step limit from the seed, so that episodes end at different times."""

    def __init__(self, *args, fatal: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fatal = fatal

    def begin(self, seed: int) -> None:
        if seed == self.fatal:
            raise SystemExit(3)
        self.max_steps = seed % 5 + 3
        super().begin(seed)


NOWHERE = Path("nowhere")

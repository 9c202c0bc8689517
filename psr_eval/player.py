"""Plays episodes chunk by chunk: everything of an episode but where its chunks come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_policy.chunker import ObservationHistory
from psr_policy.config import PolicyConfig


@dataclass(frozen=True)
class Outcome:
    """What became of one episode, and the rows that were published for it if they were asked for.

    latencies: seconds of each network call that its chunks came from.
    """

    seed: int
    success: bool
    max_reward: float
    steps: int
    latencies: list[float]
    reason: str = ""  # why the episode ended before its time: the policy asked for something impossible
    chunks: list[np.ndarray] = field(default_factory=list, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The outcome without its chunks, for JSON."""
        fields = asdict(self)
        del fields["chunks"]
        return fields


class EpisodePlayer:
    """One environment and the observation history of a policy, playing one episode after another.

    begin(seed), then play(rows) with a chunk for `history` until `over`; then outcome(...).
    """

    def __init__(self, env: Any, config: PolicyConfig, max_steps: int) -> None:
        self.env, self.max_steps = env, max_steps
        self._n_action_steps = config.n_action_steps
        self._history = ObservationHistory(config.obs_keys, config.n_obs_steps)

    def begin(self, seed: int) -> None:
        """The initial state of `seed`."""
        self.seed, self._max_reward, self._reason = seed, 0.0, ""
        self._now = self.env.reset(seed)
        self._history.clear()
        self._history.observe(self._now.features)

    @property
    def over(self) -> bool:
        """Whether the episode has ended, by success, by the step limit, or by a row that could not be executed."""
        return bool(self._reason or self._now.success or self._now.step >= self.max_steps)

    @property
    def step(self) -> int:
        """Control step of the newest observation: the first row of the chunk that is due is meant for it."""
        return int(self._now.step)

    @property
    def history(self) -> NDArray[np.float32]:
        """Observations (To, Do) float32 that the chunk which is due follows from."""
        return self._history.stacked()

    def play(self, rows: NDArray[np.float32]) -> None:
        """Executes a chunk's (R, Da) first n_action_steps rows, raw units, or as many as there are steps left."""
        for row in rows[: self._n_action_steps]:
            try:
                self._now = self.env.step(row)
            except ValueError as error:
                self._reason = f"step {self._now.step}: {error}"
            else:
                self._history.observe(self._now.features)
                self._max_reward = max(self._max_reward, self._now.reward)
            if self.over:
                return

    def outcome(self, latencies: list[float], chunks: list[np.ndarray] | None = None) -> Outcome:
        """What became of the episode."""
        now = self._now
        return Outcome(self.seed, now.success, self._max_reward, now.step, latencies, self._reason, chunks or [])

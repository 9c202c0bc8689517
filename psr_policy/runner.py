"""PolicyRunner: from control steps and messages to chunks that a robot may follow. Free of ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from psr_policy.chunker import Chunk, ChunkSampler
from psr_policy.contract import Contract
from psr_policy.gate import ActionLimits, ChunkStatistics, FrozenDetector
from psr_policy.ticks import Tick


class PolicyRunner:
    """Feeds one policy with observations and hands out its chunks, or holds and says why in `problem`.

    contract: what the features are made of. sampler: its settings may be changed between steps. limits: what every
    row must keep. frozen_steps: hold after so many bit-identical observations, 0 never.
    """

    def __init__(self, contract: Contract, sampler: ChunkSampler, limits: ActionLimits, frozen_steps: int = 0) -> None:
        self.contract = contract
        self.sampler = sampler
        self.limits = limits
        self.statistics = ChunkStatistics()
        self.last_error = ""
        self._frozen = FrozenDetector(frozen_steps)
        self._tick: Tick | None = None
        self._answer: Chunk | None = None
        self._stretch: int | None = None  # number of the stretch of n_action_steps steps that was sampled for last
        self._observation_problem = self._chunk_problem = ""

    @property
    def problem(self) -> str:
        """Why no chunk comes at present, or an empty text."""
        return self._observation_problem or self._chunk_problem

    def warm_up(self) -> None:
        """Sample once, for nothing: the first chunk is then as fast as the others, and unfit settings show at once."""
        self.sampler.reset(0)
        self.sampler.observe({name: np.zeros(size) for name, size in self.sampler.policy.config.obs_keys})
        self.sampler.sample(0)

    def step(self, tick: Tick, messages: Mapping[str, Any], age: float = 0.0) -> Chunk | None:
        """One control step with a message of every topic. Returns the chunk to publish, None when there is none.

        A chunk is due whenever one is awaited, and at the first observation of every n_action_steps steps (0, 8, 16,
        ...) unless that one is `age` >= n_action_steps step periods old: the next is due already, this one is skipped.
        The step before again is no new observation; if it is awaited, its chunk is handed out once more.
        """
        if self._is_repeated(tick):
            return (self._answer or self._sample(tick)) if tick.await_chunk else None
        self._begin(tick)
        if not self._observe(tick, messages):
            return None
        return self._sample(tick) if self._is_due(tick, age) else None

    def _is_due(self, tick: Tick, age: float) -> bool:
        config = self.sampler.policy.config
        stretch = tick.step // config.n_action_steps
        begins, self._stretch = stretch != self._stretch, stretch
        if tick.await_chunk or not begins:
            return tick.await_chunk
        late = age >= config.n_action_steps * config.step_period
        self.statistics.skipped += late
        return not late

    def hold(self, problem: str) -> None:
        """No observation can be had, for the reason given; the history begins anew with the next one."""
        self._observation_problem = self.last_error = problem
        self.statistics.held += 1
        self._tick = None

    def reset(self) -> None:
        """Forget the episode; statistics stay."""
        self._tick = self._answer = None
        self._frozen.reset()
        self._observation_problem = self._chunk_problem = ""

    def _is_repeated(self, tick: Tick) -> bool:
        last = self._tick
        return last is not None and (tick.episode, tick.seed, tick.step, tick.stamp) == (
            last.episode,
            last.seed,
            last.step,
            last.stamp,
        )

    def _begin(self, tick: Tick) -> None:
        last, self._answer = self._tick, None
        if last is None or (tick.episode, tick.seed, tick.step) != (last.episode, last.seed, last.step + 1):
            # A new episode, or a gap: an older observation would look like a motion that never was.
            self.sampler.reset(tick.seed)
            if last is None or (tick.episode, tick.seed) != (last.episode, last.seed) or tick.step <= last.step:
                self._frozen.reset()
                self._stretch = None

    def _observe(self, tick: Tick, messages: Mapping[str, Any]) -> bool:
        try:
            features = self.contract.read(messages)
            self.sampler.observe(features)
        except ValueError as error:
            self.hold(f"step {tick.step}: {error}")
            return False
        self._tick = tick
        if self._frozen.update(features):
            self._observation_problem = self.last_error = (
                f"step {tick.step}: the observations have not changed by a bit for {self._frozen.repeats} steps; "
                "is a sensor or its driver stuck?"
            )
            self.statistics.held += 1
            return False
        self._observation_problem = ""
        return True

    def _sample(self, tick: Tick) -> Chunk | None:
        if self._observation_problem:
            return None
        try:
            chunk = self.sampler.sample(tick.step)
            self.limits.check(chunk.rows)
        except (ValueError, RuntimeError) as error:  # torch reports a full or lost device as RuntimeError
            self._chunk_problem = self.last_error = f"chunk for step {tick.step} is not published: {error}"
            self.statistics.refused += 1
            return None
        self._chunk_problem = ""
        self._answer = chunk
        return chunk

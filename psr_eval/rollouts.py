"""Episodes without ROS: the policy and the simulator in one process, sharing every line of code with the nodes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from psr_core.steering import Steering


@dataclass(frozen=True)
class RolloutPlan:
    """Everything that decides the outcome of an episode but its seed. Picklable, so that workers can be handed it."""

    task: str
    checkpoint: Path
    steering: Steering = field(default_factory=Steering)
    sampler: str = "ddim"
    num_inference_steps: int = 16
    noise_seed: int = 0
    max_steps: int = 0  # 0: the task's own limit


@dataclass(frozen=True)
class Outcome:
    """What became of one episode, and the rows that were published for it if they were asked for."""

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


class Rollouts:
    """One simulator and one policy, running the episodes of a plan. Uses one torch thread, as the policy node does."""

    def __init__(self, plan: RolloutPlan) -> None:
        import torch

        from psr_policy.checkpoint import load_policy
        from psr_policy.chunker import ChunkSampler
        from sim.env import SimEnv
        from sim.tasks import TASKS

        torch.set_num_threads(1)
        self.chunker = ChunkSampler(load_policy(plan.checkpoint), noise_seed=plan.noise_seed)
        self.chunker.steering = plan.steering
        self.chunker.sampler = plan.sampler
        self.chunker.num_inference_steps = plan.num_inference_steps
        self.env = SimEnv(plan.task)
        self.max_steps = plan.max_steps or TASKS[plan.task].max_steps

    def run(self, seed: int, keep_chunks: bool = False) -> Outcome:
        """One episode from the initial state of `seed` to its success or the step limit."""
        observation = self.env.reset(seed)
        self.chunker.reset(seed)
        self.chunker.observe(observation.features)
        chunks: list[np.ndarray] = []
        latencies: list[float] = []
        max_reward, reason = 0.0, ""
        while not (reason or observation.success or observation.step >= self.max_steps):
            chunk = self.chunker.sample(observation.step)
            latencies.append(chunk.latency)
            if keep_chunks:
                chunks.append(chunk.rows)
            for row in chunk.rows[: chunk.n_action_steps]:
                try:
                    observation = self.env.step(row)
                except ValueError as error:
                    reason = f"step {observation.step}: {error}"
                    break
                self.chunker.observe(observation.features)
                max_reward = max(max_reward, observation.reward)
                if observation.success or observation.step >= self.max_steps:
                    break
        return Outcome(seed, observation.success, max_reward, observation.step, latencies, reason, chunks)


_rollouts: Rollouts | None = None


def _start_worker(plan: RolloutPlan) -> None:
    global _rollouts
    _rollouts = Rollouts(plan)


def _run_in_worker(seed: int) -> Outcome:
    assert _rollouts is not None
    return _rollouts.run(seed)


def run_episodes(plan: RolloutPlan, seeds: range, workers: int = 1) -> Iterator[Outcome]:
    """Outcomes of the seeds, in any order, as they finish; each is the same whatever the number of workers."""
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    if workers == 1:
        rollouts = Rollouts(plan)
        yield from (rollouts.run(seed) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_worker, (plan,)) as pool:
        yield from pool.imap_unordered(_run_in_worker, seeds)


def progress_line(done: int, total: int, successes: int, started: float) -> str:
    """Text such as "12/100 episodes, 11 successes, 40 s left" for a run that began at time.monotonic() `started`."""
    left = (time.monotonic() - started) / max(done, 1) * (total - done)
    return f"{done}/{total} episodes, {successes} successes, {left:.0f} s left"

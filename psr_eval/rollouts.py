"""Episodes without ROS: the policy and the simulator in one process, sharing every line of code with the nodes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psr_core.steering import Steering
from psr_eval.player import EpisodePlayer, Outcome
from sim.worker import serve_parent

if TYPE_CHECKING:
    from psr_eval.batched import Crew
    from psr_policy.config import PolicyConfig


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

    def check(self) -> None:
        """Raises ValueError when the policy is not for the task, or cannot sample as planned; as load_policy, too."""
        from psr_policy.checkpoint import read_config
        from psr_policy.policy import steered_scheduler

        config = read_config(self.checkpoint)
        self.check_task(config)
        steered_scheduler(config, self.steering, self.sampler, self.num_inference_steps)

    def check_task(self, config: PolicyConfig) -> None:
        """Raises ValueError when a policy of this config observes or commands something else than the task."""
        from sim.tasks import get_task

        task = get_task(self.task)
        if (dict(config.obs_keys), config.action_dim) != (dict(task.obs_keys), task.action_dim):
            raise ValueError(
                f"{self.checkpoint} observes {dict(config.obs_keys)} and commands {config.action_dim} numbers, but "
                f"task {self.task} shows {dict(task.obs_keys)} and takes {task.action_dim}; choose the task it was "
                "trained on"
            )

    def player(self, config: PolicyConfig) -> EpisodePlayer:
        """A player with an environment of its own, for a policy of this config."""
        from sim.environments import make_env
        from sim.tasks import get_task

        return EpisodePlayer(make_env(self.task), config, self.max_steps or get_task(self.task).max_steps)

    def settings(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {**asdict(self), "checkpoint": str(self.checkpoint)}


class Rollouts:
    """One simulator and one policy, running the episodes of a plan. Uses one torch thread, as the policy node does."""

    def __init__(self, plan: RolloutPlan) -> None:
        import torch

        from psr_policy.checkpoint import load_policy
        from psr_policy.chunker import ChunkSampler

        torch.set_num_threads(1)
        self.chunker = ChunkSampler(load_policy(plan.checkpoint), noise_seed=plan.noise_seed)
        self.chunker.steering = plan.steering
        self.chunker.sampler = plan.sampler
        self.chunker.num_inference_steps = plan.num_inference_steps
        self.player = plan.player(self.chunker.policy.config)

    def run(self, seed: int, keep_chunks: bool = False) -> Outcome:
        """One episode from the initial state of `seed` to its success or the step limit."""
        player, chunker = self.player, self.chunker
        player.begin(seed)
        chunks: list[np.ndarray] = []
        latencies: list[float] = []
        while not player.over:
            chunk = chunker.sample_from(player.history, seed, player.step)
            latencies.append(chunk.latency)
            chunks += [chunk.rows] * keep_chunks
            player.play(chunk.rows)
        return player.outcome(latencies, chunks)


_rollouts: Rollouts | None = None


def _start_worker(plan: RolloutPlan) -> None:
    global _rollouts
    serve_parent()
    _rollouts = Rollouts(plan)


def _run_in_worker(seed: int) -> Outcome:
    assert _rollouts is not None
    return _rollouts.run(seed)


class Runner:
    """`with Runner(workers, batch) as runner:` plays one plan after another; an outcome is the same for any workers.

    batch: rows of a network call. 1: each worker has its own network and calls it as the policy node does, bit for bit.
    More: the workers have environments only, and this process calls the network for all of them at once, which is
    faster; they stay for the next plan (psr_eval.batched).
    """

    def __init__(self, workers: int = 1, batch: int = 1) -> None:
        for name, value in (("workers", workers), ("batch", batch)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        self._workers, self._batch = workers, batch
        self._crew: Crew | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._crew is not None:
            self._crew.dismiss()

    def run(self, plan: RolloutPlan, seeds: Sequence[int]) -> Iterator[Outcome]:
        """Outcomes of the seeds, in any order, as they finish.

        Raises ValueError, before anything runs, for a plan that cannot be followed.
        """
        plan.check()
        if self._batch > 1 and seeds:
            from psr_eval.batched import Crew, run_batched
            from psr_policy.checkpoint import load_policy

            self._crew = self._crew or Crew(self._workers)
            yield from run_batched(plan, load_policy(plan.checkpoint), seeds, self._crew, self._batch)
        elif self._workers == 1:
            rollouts = Rollouts(plan)
            yield from (rollouts.run(seed) for seed in seeds)
        else:
            context = multiprocessing.get_context("spawn")
            with context.Pool(self._workers, _start_worker, (plan,)) as pool:
                yield from pool.imap_unordered(_run_in_worker, seeds)


def run_episodes(plan: RolloutPlan, seeds: Sequence[int], workers: int = 1, batch: int = 1) -> Iterator[Outcome]:
    """Runner.run for a single plan."""
    with Runner(workers, batch) as runner:
        yield from runner.run(plan, seeds)


def progress_line(done: int, total: int, successes: int, started: float, before: int = 0) -> str:
    """Text such as "12/100 episodes, 11 successes, 40 s left" for a run that began at time.monotonic() `started`.

    before: how many of the done had been done by then.
    """
    left = (time.monotonic() - started) / max(done - before, 1) * (total - done)
    return f"{done}/{total} episodes, {successes} successes, {left:.0f} s left"

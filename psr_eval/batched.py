"""Many episodes at a time: environments in worker processes, one padded network call for all whose chunk is due.

The network answers a row of its batch with the same bits whatever stands in the other rows, as long as the batch has
the same size, a multiple of LANES. So calls are padded to one size, and an outcome depends on the plan and its seed
alone: not on the number of workers, nor on who else was in the batch. (Another batch size moves the last bits of a
chunk.)
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from psr_core.seeds import noise_generator
from psr_eval.player import EpisodePlayer, Outcome
from psr_policy.config import PolicyConfig
from psr_policy.policy import DiffusionPolicy
from sim.worker import serve_parent

if TYPE_CHECKING:
    from psr_eval.rollouts import RolloutPlan

GROUPS = 2  # environments for one row of the batch: while one computes, the other's chunk is sampled
# Rows of a call are a multiple of a vector register's numbers: what is left over at the end of a tensor, in its last
# rows, may be rounded in another way.
LANES = 8
DEAD = "a worker process ended unexpectedly; its own message stands above"


@dataclass
class _Slot:
    """The main process's view of one environment: which episode it plays and what its next chunk follows from."""

    index: int
    seed: int = -1
    step: int = 0
    history: NDArray[np.float32] | None = None
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Due:
    """A worker's answer: slot `index` needs the chunk that follows from history, or, with no history, has ended."""

    index: int
    step: int
    history: NDArray[np.float32] | None
    outcome: Outcome | None


def run_batched(
    plan: RolloutPlan, policy: DiffusionPolicy, seeds: Sequence[int], crew: Crew, batch: int
) -> Iterator[Outcome]:
    """Outcomes of the seeds, in any order, as they finish. batch: rows of a network call.

    Leaving the iteration early dismisses the crew. Uses one torch thread, for their number moves last bits, too. Raises
    RuntimeError when a worker dies.
    """
    torch.set_num_threads(1)
    busy = min(GROUPS * batch, len(seeds))
    slots, todo = [_Slot(index) for index in range(busy)], deque(seeds)
    crew.prepare(plan, policy.config)
    try:
        for slot in slots:
            _begin(slot, todo.popleft(), crew)
        due: list[_Slot] = []
        while busy:
            for answer in crew.answers(block=len(due) < min(batch, busy)):
                slot = slots[answer.index]
                if answer.outcome is None:
                    slot.step, slot.history = answer.step, answer.history
                    due.append(slot)
                    continue
                yield Outcome(**{**vars(answer.outcome), "latencies": slot.latencies})
                if todo:
                    _begin(slot, todo.popleft(), crew)
                else:
                    busy -= 1
            if due and len(due) >= min(batch, busy):
                now, due = due[:batch], due[batch:]
                for slot, rows in zip(now, _sample(plan, policy, now, batch), strict=True):
                    crew.tell(slot.index, rows)
    finally:
        if busy:  # with episodes that nobody is going to finish
            crew.dismiss()


def _begin(slot: _Slot, seed: int, crew: Crew) -> None:
    slot.seed, slot.latencies = seed, []
    crew.tell(slot.index, seed)


def _sample(plan: RolloutPlan, policy: DiffusionPolicy, slots: list[_Slot], batch: int) -> NDArray[np.float32]:
    """Chunks (len(slots), R, Da), R counted from the present step on, from one call of `batch` rows or a few more."""
    padded = slots + [slots[0]] * (-(-batch // LANES) * LANES - len(slots))
    begin = time.perf_counter()
    actions = policy.sample(
        torch.from_numpy(np.stack([slot.history for slot in padded])),
        steering=plan.steering,
        sampler=plan.sampler,
        num_inference_steps=plan.num_inference_steps,
        generators=[noise_generator(plan.noise_seed, slot.seed, slot.step) for slot in padded],
    )
    latency = time.perf_counter() - begin
    for slot in slots:
        slot.latencies.append(latency)
    rows: NDArray[np.float32] = actions[: len(slots), policy.config.n_obs_steps - 1 :].cpu().numpy()
    return rows


class Crew:
    """`with Crew(workers) as crew:` processes that hold the environments; slot i lives in worker i modulo their number.

    A worker starts when it is needed first, and stays from plan to plan as long as these agree in what environments and
    histories are like: task, step limit and the policy's config.
    """

    def __init__(self, workers: int) -> None:
        self._number = workers
        self._made_for: tuple[RolloutPlan, PolicyConfig] | None = None
        self._workers: dict[int, tuple[Connection, BaseProcess]] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    def prepare(self, plan: RolloutPlan, config: PolicyConfig) -> None:
        """To be called before the first tell() of a plan, when every episode of the plan before is over."""
        if self._made_for and _kind(plan, config) != _kind(*self._made_for):
            self.dismiss()
        self._made_for = plan, config

    def dismiss(self) -> None:
        """Ends the workers, whatever they do; the next tell() starts others."""
        for connection, process in self._workers.values():
            connection.close()
            process.terminate()
            process.join()
        self._workers.clear()

    def tell(self, index: int, what: int | NDArray[np.float32]) -> None:
        """A seed to begin with, or the rows to play."""
        worker = index % self._number
        if worker not in self._workers:
            self._workers[worker] = self._start()
        try:
            self._workers[worker][0].send((index, what))
        except OSError:
            raise RuntimeError(DEAD) from None

    def _start(self) -> tuple[Connection, BaseProcess]:
        assert self._made_for is not None, "prepare() comes first"
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, *self._made_for), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def answers(self, block: bool) -> Iterator[_Due]:
        """What has arrived; with `block`, waits until something has."""
        for connection in wait([connection for connection, _ in self._workers.values()], None if block else 0):
            try:
                answer = connection.recv()  # type: ignore[union-attr]
            except (EOFError, OSError):
                raise RuntimeError(DEAD) from None
            if isinstance(answer, Exception):
                raise answer
            yield answer


def _kind(plan: RolloutPlan, config: PolicyConfig) -> tuple[str, int, PolicyConfig]:
    return plan.task, plan.max_steps, config


def _serve(connection: Connection, plan: RolloutPlan, config: PolicyConfig) -> None:
    """A worker's life: plays what it is told to, until nobody tells it anything any more."""
    serve_parent()
    torch.set_num_threads(1)
    players: dict[int, EpisodePlayer] = {}
    try:
        while True:
            index, what = connection.recv()
            if index not in players:
                players[index] = plan.player(config)
            player = players[index]
            if isinstance(what, int):
                player.begin(what)
            else:
                player.play(what)
            over = player.over
            connection.send(
                _Due(index, player.step, None if over else player.history, player.outcome([]) if over else None)
            )
    except (EOFError, BrokenPipeError):
        return  # the main process has left, and says why itself
    except Exception as error:
        connection.send(error)

"""What the bridge between the simulator and a policy remembers: chunks, episodes and runs. Free of ROS and of MuJoCo.

Control step s of an episode is observation s followed by one action row. A chunk that answers observation s brings the
rows of steps s, s + 1, ...:

    lock-step   |obs 0|--chunk 0: rows 0-7 executed--|obs 8|--chunk 8: rows 8-15 executed--|obs 16|...
                the scene stands still at observations 0, 8, 16 until the chunk for exactly that step is there
    real time   |obs 0|--chunk 0: rows 0...9--|chunk 8 arrives at step 10: its rows 8, 9 are late|--rows 10...--
                only observation 0 waits; afterwards a step without a row repeats the last command and counts as missed
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from psr_core.steering import Steering

LOCKSTEP, REALTIME = MODES = ("lockstep", "realtime")
MAX_SEED = 2**32 - 1  # numpy's
Row = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """How a chunk was sampled; an episode under more than one of these counts as mixed."""

    steering: Steering
    sampler: str
    num_inference_steps: int
    checkpoint: str


@dataclass(frozen=True)
class Chunk:
    """A stretch of future actions: rows[i] (R, Da) float32 is the action for control step `step + i` of `episode`.

    session: drawn once per policy process. n_action_steps in [1, R]: rows meant to be executed before the next chunk.
    latency: seconds from the last observation's arrival to publishing. Raises ValueError for what must not be executed.
    """

    session: int
    episode: int
    step: int
    rows: Row
    n_action_steps: int
    settings: Settings
    latency: float = 0.0

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or not len(self.rows):
            raise ValueError(f"rows has shape {self.rows.shape}, expected (horizon, dim) with at least one row")
        if not np.isfinite(self.rows).all():
            row, column = np.argwhere(~np.isfinite(self.rows))[0]
            raise ValueError(f"row {row}, column {column} is {self.rows[row, column]}, expected finite numbers")
        if not 1 <= self.n_action_steps <= len(self.rows):
            raise ValueError(f"n_action_steps is {self.n_action_steps}, expected 1 to the horizon {len(self.rows)}")
        if not (np.isfinite(self.latency) and self.latency >= 0):
            raise ValueError(f"latency is {self.latency} s, expected a finite number >= 0")


class ChunkQueue:
    """The newest chunk, asked for its rows by control step."""

    def __init__(self) -> None:
        self.chunk: Chunk | None = None

    def put(self, chunk: Chunk, step: int) -> int:
        """Replace every older row, at control step `step`. Returns how many of the new rows come too late."""
        self.chunk = chunk
        return min(max(step - chunk.step, 0), len(chunk.rows))

    def row(self, step: int) -> Row | None:
        """The action (Da,) of control step `step`, or None where the newest chunk has none."""
        if self.chunk is None or not 0 <= step - self.chunk.step < len(self.chunk.rows):
            return None
        row: Row = self.chunk.rows[step - self.chunk.step]
        return row


class Verdict(Enum):
    """What became of a chunk that arrived during an episode."""

    ACCEPTED = "accepted"
    STALE = "stale"  # right once, overtaken by now: a late or repeated answer
    REFUSED = "refused"  # wrong: must not be executed
    RESTARTED = "restarted"  # from another policy process: the episode cannot go on


class Outcome(IntEnum):
    """How an episode ended; the numbers are those of psr_interfaces/EpisodeResult."""

    SUCCESS = 0
    FAILURE = 1
    ABORTED = 2


@dataclass(frozen=True)
class Result:
    """What became of one episode, field by field psr_interfaces/EpisodeResult; settings None when no chunk came."""

    episode: int
    seed: int
    mode: str
    outcome: Outcome
    reason: str
    max_reward: float
    steps: int
    settings: Settings | None
    mixed: bool
    chunks: int
    deadline_misses: int
    late_rows: int
    latency_mean: float
    latency_max: float


@dataclass
class Episode:
    """One episode in the making: offer() it chunks, take() a command for every control step, then advance() it."""

    number: int
    seed: int
    max_steps: int
    action_dim: int
    mode: str = LOCKSTEP
    step: int = 0
    deadline_misses: int = 0
    late_rows: int = 0
    max_reward: float = 0.0
    outcome: Outcome | None = None
    reason: str = ""
    chunks: list[tuple[Settings, float]] = field(default_factory=list)  # (settings, latency) of the accepted ones

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}, expected one of: {', '.join(MODES)}")
        if self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}, expected at least 1")
        self._queue = ChunkQueue()
        self._command: Row = np.empty(0, np.float32)  # set by the first chunk's first row, before anything can be held

    @property
    def over(self) -> bool:
        """True once it succeeded, ran out of steps or was aborted."""
        return self.outcome is not None

    @property
    def awaiting(self) -> bool:
        """True while the scene has to stand still until a chunk for exactly this step is accepted."""
        chunk = self._queue.chunk
        if self.over or chunk is None:
            return not self.over
        return self.mode == LOCKSTEP and self.step >= chunk.step + chunk.n_action_steps

    def offer(self, chunk: Chunk) -> tuple[Verdict, str]:
        """Judge an arrived chunk, use it if it is right, and say in numbers why not otherwise."""
        verdict, why = self._judge(chunk)
        if verdict is Verdict.ACCEPTED:
            self.late_rows += self._queue.put(chunk, self.step)
            self.chunks.append((chunk.settings, chunk.latency))
        return verdict, why

    def _judge(self, chunk: Chunk) -> tuple[Verdict, str]:
        newest = self._queue.chunk
        if self.over or chunk.episode != self.number:
            why = f"it is for episode {chunk.episode}, the running one is {'over' if self.over else self.number}"
            return (Verdict.STALE if chunk.episode <= self.number else Verdict.REFUSED), why
        if newest is not None and chunk.session != newest.session:
            why = f"session changed from {newest.session} to {chunk.session} at step {self.step}"
            return Verdict.RESTARTED, f"the policy was restarted, or a second one is running: {why}"
        if chunk.step > self.step:
            return Verdict.REFUSED, f"it is for step {chunk.step}, the episode is only at step {self.step}"
        if chunk.rows.shape[1] != self.action_dim:
            return Verdict.REFUSED, f"its rows have {chunk.rows.shape[1]} numbers, the task takes {self.action_dim}"
        if (newest is not None and chunk.step <= newest.step) or (self.awaiting and chunk.step != self.step):
            return Verdict.STALE, f"it is for step {chunk.step}, the episode is at step {self.step}"
        return Verdict.ACCEPTED, ""

    def take(self) -> Row:
        """The command (Da,) for the present step; the last one again, counted as missed, where no row is there."""
        if self.awaiting or self.over:
            raise RuntimeError(f"episode {self.number} has no command for step {self.step}: it is waiting or over")
        row = self._queue.row(self.step)
        if row is None:
            self.deadline_misses += 1
        else:
            self._command = row
        return self._command

    def advance(self, reward: float, success: bool) -> None:
        """Count the executed step and end the episode at success or at max_steps."""
        self.step += 1
        self.max_reward = max(self.max_reward, reward)
        if success:
            self.outcome = Outcome.SUCCESS
        elif self.step >= self.max_steps:
            self.outcome = Outcome.FAILURE

    def abort(self, reason: str) -> None:
        """End it as neither success nor failure; an episode that is over stays as it is."""
        if not self.over:
            self.outcome, self.reason = Outcome.ABORTED, reason

    def result(self) -> Result:
        """What became of it; raises RuntimeError while it is running."""
        if self.outcome is None:
            raise RuntimeError(f"episode {self.number} is still running, at step {self.step} of {self.max_steps}")
        settings = [settings for settings, _ in self.chunks]
        latencies = [latency for _, latency in self.chunks] or [0.0]
        return Result(
            episode=self.number,
            seed=self.seed,
            mode=self.mode,
            outcome=self.outcome,
            reason=self.reason,
            max_reward=self.max_reward,
            steps=self.step,
            settings=settings[0] if settings else None,
            mixed=len(set(settings)) > 1,
            chunks=len(settings),
            deadline_misses=self.deadline_misses,
            late_rows=self.late_rows,
            latency_mean=sum(latencies) / len(latencies),
            latency_max=max(latencies),
        )


@dataclass
class Run:
    """The episodes of one request, on the seeds first_seed, first_seed + 1, ... up to MAX_SEED at most."""

    first_seed: int
    episodes: int
    max_steps: int
    results: list[Result] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """Why it cannot be run, or an empty text."""
        last = self.first_seed + self.episodes - 1
        if self.episodes < 1:
            return f"episodes is {self.episodes}, expected at least 1"
        if self.first_seed < 0 or last > MAX_SEED:
            return f"seeds are {self.first_seed} to {last}, expected them within 0 to {MAX_SEED}"
        return ""

    @property
    def finished(self) -> bool:
        """True when every episode has a result."""
        return len(self.results) >= self.episodes

    @property
    def next_seed(self) -> int:
        """The seed of the episode after those with a result."""
        return self.first_seed + len(self.results)

    def count(self, outcome: Outcome) -> int:
        """How many episodes ended like that."""
        return sum(result.outcome is outcome for result in self.results)

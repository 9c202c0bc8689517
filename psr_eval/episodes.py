"""What a bag says about episodes, chunks and the dial, as plain values."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psr_core.steering import Steering
from psr_eval.bag_reader import BagReader, RawMessage, decode

RESULT = "psr_interfaces/msg/EpisodeResult"
STATE = "psr_interfaces/msg/EpisodeState"
CHUNK = "psr_interfaces/msg/ActionChunk"
PARAMETERS = "rcl_interfaces/msg/ParameterEvent"

_OUTCOMES = ("success", "failure", "aborted")
_RUNNING = 1
_VALUE_FIELDS = {1: "bool_value", 2: "integer_value", 3: "double_value", 4: "string_value"}  # by ParameterType


@dataclass(frozen=True)
class Setting:
    """Everything that must be equal for two episodes to be counted together."""

    task: str
    checkpoint: str
    steering: Steering | None  # None when no chunk was executed
    sampler: str
    num_inference_steps: int
    mode: str
    mixed_steering: bool

    @property
    def kind(self) -> tuple[str, str, str, int, str]:
        """All but the dial: what settings have in common that differ in nothing else."""
        return self.task, self.checkpoint, self.sampler, self.num_inference_steps, self.mode

    def kind_label(self) -> str:
        """Short text, such as "Lift, lift_unet@0123456789ab, ddim 16 steps, lockstep"."""
        if not self.checkpoint:
            return f"{self.task}, no policy, {self.mode}"
        return f"{self.task}, {self.checkpoint}, {self.sampler} {self.num_inference_steps} steps, {self.mode}"

    def label(self) -> str:
        """Short text of the dial, such as "psr k=2 σ=0.1"."""
        label = self.steering.label() if self.steering else "no chunk"
        return f"mixed, first {label}" if self.mixed_steering else label


@dataclass(frozen=True)
class Episode:
    """One EpisodeResult. outcome: success, failure or aborted. Latencies in seconds, of the episode's chunks."""

    bag: Path
    setting: Setting
    episode: int
    seed: int
    outcome: str
    steps: int
    max_reward: float
    chunks: int
    deadline_misses: int
    late_rows: int
    reason: str
    publish_time: int
    fingerprint: str  # equal for two recordings of the same episode
    latencies: tuple[float, ...] = ()


@dataclass(frozen=True)
class Incomplete:
    """An episode that began and has no result: cut off, or still running when the recording ended."""

    bag: Path
    task: str
    episode: int
    seed: int
    last_step: int


@dataclass(frozen=True)
class Chunk:
    """One ActionChunk, without its rows. Times in ns since 1970, latency in seconds."""

    topic: str
    index: int  # among the chunks of its topic in the bag
    session: int
    episode: int
    step: int
    steering: Steering
    sampling_started: int
    latency: float
    publish_time: int


@dataclass(frozen=True)
class ParameterValue:
    """A node said that a parameter has this value from `time` on (ns since 1970). declared: it said so at its start."""

    node: str
    name: str
    value: bool | int | float | str
    time: int
    declared: bool


@dataclass
class BagContents:
    """One bag, read. custom_data: what the recorder noted about the machine; losses: what could not be read."""

    path: Path
    episodes: list[Episode] = field(default_factory=list)
    incomplete: list[Incomplete] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    parameters: list[ParameterValue] = field(default_factory=list)
    custom_data: dict[str, str] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)


def read_contents(path: Path | str) -> BagContents:
    """Read a bag once, from its first message to its last readable one.

    Raises FileNotFoundError and ValueError as BagReader does, and ValueError on a message from another version.
    """
    reader = BagReader(path)
    contents = BagContents(reader.path, custom_data=reader.custom_data)
    states: list[tuple[int, Any]] = []
    collect: dict[str, Callable[[RawMessage, Any], None]] = {
        RESULT: lambda raw, message: contents.episodes.append(_episode(reader.path, raw, message)),
        STATE: lambda raw, message: states.append((raw.publish_time, message)),
        CHUNK: lambda raw, message: contents.chunks.append(_chunk(raw, message)),
        PARAMETERS: lambda raw, message: contents.parameters.extend(_parameters(raw, message)),
    }
    for raw in reader.messages(collect):
        message = decode(raw)
        try:
            collect[raw.type](raw, message)
        except (AttributeError, ValueError) as error:
            raise ValueError(
                f"bag {path}: a message of {raw.topic} cannot be used ({error}); it was recorded with another version "
                "of the suite, or by other software"
            ) from error
    contents.chunks = _numbered(contents.chunks)
    contents.parameters.sort(key=lambda value: value.time)
    contents.incomplete = _incomplete(reader.path, states, contents.episodes)
    contents.episodes = _with_latencies(sorted(contents.episodes, key=lambda one: one.publish_time), contents.chunks)
    contents.losses = list(reader.losses)
    return contents


def _episode(bag: Path, raw: RawMessage, message: Any) -> Episode:
    steering = steering_of(message.steering) if message.chunks else None
    return Episode(
        bag=bag,
        setting=Setting(
            message.task,
            message.checkpoint,
            steering,
            message.sampler,
            message.num_inference_steps,
            message.mode,
            message.mixed_steering,
        ),
        episode=message.episode,
        seed=message.seed,
        outcome=_outcome(message.outcome),
        steps=message.steps,
        max_reward=message.max_reward,
        chunks=message.chunks,
        deadline_misses=message.deadline_misses,
        late_rows=message.late_rows,
        reason=message.reason,
        publish_time=raw.publish_time,
        fingerprint=hashlib.sha256(raw.publish_time.to_bytes(8, "little") + raw.data).hexdigest(),
    )


def _outcome(number: int) -> str:
    if not 0 <= number < len(_OUTCOMES):
        raise ValueError(f"outcome is {number}, expected 0 to {len(_OUTCOMES) - 1}")
    return _OUTCOMES[number]


def _chunk(raw: RawMessage, message: Any) -> Chunk:
    return Chunk(
        topic=raw.topic,
        index=0,
        session=message.session,
        episode=message.episode,
        step=message.step,
        steering=steering_of(message.steering),
        sampling_started=_nanoseconds(message.sampling_started),
        latency=_nanoseconds(message.latency) / 1e9,
        publish_time=raw.publish_time,
    )


def steering_of(message: Any) -> Steering:
    """What a psr_interfaces/Steering message says."""
    return Steering(**{name: getattr(message, name) for name in Steering.__dataclass_fields__})


def _nanoseconds(time: Any) -> int:
    return int(time.sec) * 10**9 + int(time.nanosec)


def _parameters(raw: RawMessage, message: Any) -> list[ParameterValue]:
    lists = ((message.new_parameters, True), (message.changed_parameters, False))
    return [
        ParameterValue(
            message.node, one.name, getattr(one.value, _VALUE_FIELDS[one.value.type]), raw.publish_time, declared
        )
        for parameters, declared in lists
        for one in parameters
        if one.value.type in _VALUE_FIELDS
    ]


def _numbered(chunks: list[Chunk]) -> list[Chunk]:
    """In the order in which they were sent, which need not be the order of arrival."""
    counts: dict[str, int] = defaultdict(int)
    numbered = []
    for chunk in sorted(chunks, key=lambda one: one.publish_time):
        numbered.append(replace(chunk, index=counts[chunk.topic]))
        counts[chunk.topic] += 1
    return numbered


def _incomplete(bag: Path, states: list[tuple[int, Any]], episodes: list[Episode]) -> list[Incomplete]:
    """Runs of an episode without a result each. A step smaller than the last one of the same episode is a new run."""
    last_steps: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for _, state in sorted(states, key=lambda pair: pair[0]):
        if state.status == _RUNNING:
            steps = last_steps[state.task, state.episode, state.seed]
            if steps and state.step >= steps[-1]:
                steps.pop()
            steps.append(state.step)
    results: dict[tuple[str, int, int], int] = defaultdict(int)
    for one in episodes:
        results[one.setting.task, one.episode, one.seed] += 1
    return [
        Incomplete(bag, *key, last_step=step)
        for key, steps in last_steps.items()
        for step in steps[: max(0, len(steps) - results[key])]
    ]


def _with_latencies(episodes: list[Episode], chunks: list[Chunk]) -> list[Episode]:
    """A chunk belongs to the first result of its episode that was sent after it."""
    waiting: dict[int, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        waiting[chunk.episode].append(chunk)
    complete = []
    for one in episodes:
        own = [chunk for chunk in waiting[one.episode] if chunk.publish_time <= one.publish_time]
        waiting[one.episode] = [chunk for chunk in waiting[one.episode] if chunk.publish_time > one.publish_time]
        complete.append(replace(one, latencies=tuple(chunk.latency for chunk in own)))
    return complete

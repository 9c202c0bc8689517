"""Proof from a bag that turning the dial took effect: the first chunk sampled afterwards carries the new value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from psr_core.steering import Steering
from psr_eval.episodes import BagContents, Chunk, ParameterValue

_PREFIX = "steering."


@dataclass(frozen=True)
class SteeringChange:
    """One change of one steering parameter, and the first chunk that was sampled after it.

    time: when the node said that the value had changed, ns since 1970. ok: True if the chunk carries the value, False
    if it does not, None if no chunk shows it: there is none, or the value changed again before it.
    """

    bag: Path
    node: str
    parameter: str
    value: bool | int | float | str
    time: int
    chunk: int | None  # index among the chunks of that node in the bag
    chunk_step: int | None
    delay: float | None  # seconds from the change to the start of sampling
    ok: bool | None

    def line(self) -> str:
        """The change as a sentence."""
        clock = datetime.fromtimestamp(self.time / 1e9, tz=timezone.utc).strftime("%H:%M:%S.%f")[:-3]
        change = f"{clock} UTC {self.node} {self.parameter} = {self.value}"
        if self.chunk is None:
            return f"{change}: no chunk was sampled afterwards"
        where = f"chunk {self.chunk} (step {self.chunk_step}, sampled {self.delay:.3f} s later)"
        verdict = {True: "carries it", False: "DOES NOT CARRY IT", None: "came after the next change of it"}
        return f"{change}: {where} {verdict[self.ok]}"


def steering_changes(bag: BagContents) -> list[SteeringChange]:
    """Every change of a steering parameter by a node that publishes chunks as ~/chunk, in order of time."""
    changes = []
    for topic in sorted({chunk.topic for chunk in bag.chunks} | {f"{value.node}/chunk" for value in bag.parameters}):
        node = topic.rpartition("/")[0]
        values = [value for value in bag.parameters if value.node == node and _is_steering(value)]
        chunks = sorted((one for one in bag.chunks if one.topic == topic), key=lambda one: one.sampling_started)
        changes += [_change(bag.path, value, values, chunks) for value in values if not value.declared]
    return sorted(changes, key=lambda change: change.time)


def _change(
    bag: Path, value: ParameterValue, values: Sequence[ParameterValue], chunks: Sequence[Chunk]
) -> SteeringChange:
    chunk = next((one for one in chunks if one.sampling_started > value.time), None)
    ok = None
    if chunk and not _superseded(value, values, chunk.sampling_started):
        ok = getattr(chunk.steering, value.name.removeprefix(_PREFIX)) == value.value
    return SteeringChange(
        bag=bag,
        node=value.node,
        parameter=value.name,
        value=value.value,
        time=value.time,
        chunk=chunk.index if chunk else None,
        chunk_step=chunk.step if chunk else None,
        delay=(chunk.sampling_started - value.time) / 1e9 if chunk else None,
        ok=ok,
    )


def _superseded(value: ParameterValue, values: Sequence[ParameterValue], time: int) -> bool:
    """Was the parameter changed, or declared by a restarted node, between the change and `time`?"""
    return any(one.name == value.name and value.time < one.time <= time for one in values)


def _is_steering(value: ParameterValue) -> bool:
    return value.name.startswith(_PREFIX) and value.name.removeprefix(_PREFIX) in Steering.__dataclass_fields__

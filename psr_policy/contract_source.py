"""One source of a feature: numbers of one message, alone or in relation to another's. Free of ROS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import pose_in_frame
from psr_policy.message_fields import POSE_SIZE, Resolve, field_size

Array = NDArray[np.float64]
# What is made of a source's numbers and another's, by the name it has in a contract.
RELATIONS: dict[str, Callable[[Array, Array], Array]] = {"minus": np.subtract, "seen_from": pose_in_frame}


@dataclass(frozen=True)
class Source:
    """Numbers of one message: a field, or a part of it if select or part say so.

    relation: "minus" subtracts the numbers of `other`, "seen_from" expresses a pose in the axes of the pose `other`.
    """

    topic: str
    field: str
    select: tuple[str, ...] = ()
    part: slice | None = None
    relation: str = ""
    other: Source | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic a message is needed from."""
        return (self.topic, *(self.other.topics if self.other else ()))

    def read(self, messages: Mapping[str, Any]) -> Array:
        """The numbers, (N,) float64. Raises ValueError naming what the message lacks."""
        *parents, leaf = self.field.split(".")
        parent = reduce(getattr, parents, messages[self.topic])
        values = _numbers(getattr(parent, leaf))
        if self.select:
            values = self._selected(values, list(parent.name))
        if self.part is not None:
            values = values[self.part]
        if self.other is None:
            return values
        other = self.other.read(messages)
        self._check_relation(len(values), len(other))
        return RELATIONS[self.relation](values, other)

    def size(self, types: Mapping[str, str], resolve: Resolve) -> int | None:
        """How many numbers the type promises, None where only a message can tell. Raises ValueError."""
        size = field_size(types[self.topic], self.field, resolve)
        if self.select:
            *parents, _ = self.field.split(".")
            field_size(types[self.topic], ".".join([*parents, "name"]), resolve, leaf="sequence<string>")
            size = len(self.select)
        if self.part is not None:
            start, stop = self.part.start, self.part.stop
            if size is not None and stop > size:
                raise ValueError(f"{self} has {size} numbers, expected at least {stop} for slice {start}:{stop}")
            size = stop - start
        if self.other is not None:
            other = self.other.size(types, resolve)
            self._check_relation(size, other)
            size = other if size is None else size
        return size

    def _selected(self, values: Array, names: list[str]) -> Array:
        if missing := [name for name in self.select if name not in names]:
            raise ValueError(f"{self} lacks {', '.join(missing)}; the message names: {', '.join(names) or 'none'}")
        if len(values) != len(names):
            raise ValueError(f"{self} has {len(values)} numbers for {len(names)} names; expected as many")
        return values[[names.index(name) for name in self.select]]

    def _check_relation(self, size: int | None, other: int | None) -> None:
        """Sizes that are known must fit each other, and a pose's relation a pose."""
        if None not in (size, other) and size != other:
            raise ValueError(f"{self} has {size} numbers, {self.other} has {other}; expected as many")
        if self.relation == "seen_from":
            for source, found in ((self, size), (self.other, other)):
                if found not in (None, POSE_SIZE):
                    raise ValueError(
                        f"{source} has {found} numbers, but seen_from relates poses of {POSE_SIZE}; name a field of "
                        "type geometry_msgs/Pose"
                    )

    def __str__(self) -> str:
        return f"{self.topic} {self.field}"


def _numbers(value: Any) -> Array:
    if hasattr(value, "position") and hasattr(value, "orientation"):
        return np.concatenate([_numbers(value.position), _numbers(value.orientation)])
    if hasattr(value, "x"):
        value = [getattr(value, axis) for axis in "xyzw" if hasattr(value, axis)]
    return np.atleast_1d(np.asarray(value, dtype=np.float64))

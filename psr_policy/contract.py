"""The observation contract: which topics and fields a policy's features are made of, read from YAML. Free of ROS.

    features:
      robot0_eef_pos:                        # a feature the policy was trained on, made of one or more sources
        - topic: /ee_pose
          type: geometry_msgs/msg/PoseStamped
          field: pose.position               # x, y, z; an orientation gives x, y, z, w
      gripper:
        - topic: /joint_states
          type: sensor_msgs/msg/JointState
          field: position
          select: [left_finger, right_finger]   # by joint name; or, for a plain array, slice: "0:3"
      cube_from_hand:
        - topic: /cube
          type: geometry_msgs/msg/PoseStamped
          field: pose.position
          minus: {topic: /ee_pose, field: pose.position}
      nut_from_hand:
        - topic: /nut
          type: geometry_msgs/msg/PoseStamped
          field: pose                        # position and orientation: x, y, z, x, y, z, w
          seen_from: {topic: /ee_pose, field: pose}   # in the axes of that pose
    action:                                  # optional
      frame: world                           # frame_id of the chunks
      low: {z: 0.8}                          # limits by column, in place of those the policy was trained within
      high: {z: 1.4}

The sources of a feature are joined in the order they stand in. A topic's type is given where it is first named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from psr_policy.contract_source import RELATIONS, Source
from psr_policy.message_fields import Resolve, has_header

FORM = "expected the form that config/contracts/lift.yaml shows"


@dataclass(frozen=True)
class Contract:
    """A validated contract. types: topic -> message type; features: name -> sources; low, high: column -> limit."""

    path: str
    types: dict[str, str]
    features: dict[str, tuple[Source, ...]]
    frame: str = "world"
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic a message is needed from."""
        return tuple(self.types)

    def users(self, topic: str) -> list[str]:
        """The features that need a topic."""
        return [name for name, sources in self.features.items() if any(topic in source.topics for source in sources)]

    def check(self, obs_keys: Sequence[tuple[str, int]], action_names: Sequence[str], resolve: Resolve) -> None:
        """Compare with what a policy wants and with the message types. Raises ValueError, naming file and feature.

        obs_keys: (name, size) of the policy's features. resolve: finds the class of a message type's name.
        """
        wanted = dict(obs_keys)
        if missing := [name for name in wanted if name not in self.features]:
            raise ValueError(f"{self.path}: features lacks {', '.join(missing)}, which the policy observes")
        if unknown := [name for name in self.features if name not in wanted]:
            expected = ", ".join(wanted)
            raise ValueError(f"{self.path}: the policy observes no {', '.join(unknown)}; it observes: {expected}")
        for name, sources in self.features.items():
            self._check_size(name, sources, wanted[name], resolve)
        for column in [*self.low, *self.high]:
            if column not in action_names:
                expected = ", ".join(action_names)
                raise ValueError(f"{self.path}: action names column {column!r}, expected some of: {expected}")

    def _check_size(self, name: str, sources: Sequence[Source], wanted: int, resolve: Resolve) -> None:
        try:
            sizes = [source.size(self.types, resolve) for source in sources]
        except ValueError as error:
            raise ValueError(f"{self.path}: features.{name}: {error}") from None
        known = sum(size for size in sizes if size is not None)
        if known > wanted or (None not in sizes and known != wanted):
            parts = " + ".join(f"{size or '?'} ({source})" for size, source in zip(sizes, sources, strict=True))
            raise ValueError(f"{self.path}: features.{name} has {parts} numbers, the policy expects {wanted}")

    def check_stamps(self, resolve: Resolve) -> None:
        """Raises ValueError where a topic's messages carry no stamp, so that no control step can be told for them."""
        for topic, name in self.types.items():
            if not has_header(name, resolve):
                cure = "use a stamped type, or tick_source timer"
                raise ValueError(f"{self.path}: {topic} has type {name}, which has no header; {cure}")

    def read(self, messages: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
        """The features, name -> (N,) float64, of one message for every topic. Raises ValueError naming the feature."""
        features = {}
        for name, sources in self.features.items():
            try:
                features[name] = np.concatenate([source.read(messages) for source in sources])
            except ValueError as error:
                raise ValueError(f"feature {name}: {error}") from None
        return features


def load_contract(path: Path | str) -> Contract:
    """The contract in a YAML file. Raises FileNotFoundError, or ValueError naming the file, the place and the value."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"contract {path} does not exist; give the path of a YAML file such as lift.yaml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _Reader(document).contract(str(path))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Reader:
    def __init__(self, document: Any) -> None:
        self.document = document
        self.types: dict[str, str] = {}

    def contract(self, path: str) -> Contract:
        document = _mapping(self.document, "the file", {"features", "action"})
        features = document.get("features")
        if not isinstance(features, dict) or not features:
            raise ValueError(f"features is {features!r}; {FORM}")
        parsed = {str(name): tuple(self._sources(name, entries)) for name, entries in features.items()}
        used = {topic for sources in parsed.values() for source in sources for topic in source.topics}
        if untyped := sorted(used - set(self.types)):
            raise ValueError(f"no type is given for {', '.join(untyped)}; add `type:` where the topic is named")
        action = _mapping(document.get("action") or {}, "action", {"frame", "low", "high"})
        low, high = (_limits(action.get(side) or {}, f"action.{side}") for side in ("low", "high"))
        if crossed := [column for column in low if column in high and low[column] > high[column]]:
            raise ValueError(f"action.low is above action.high for {', '.join(crossed)}")
        return Contract(path, self.types, parsed, str(action.get("frame", "world")), low, high)

    def _sources(self, name: Any, entries: Any) -> Iterator[Source]:
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"features.{name} is {entries!r}, expected a list of sources; {FORM}")
        for index, entry in enumerate(entries):
            where = f"features.{name}[{index}]"
            entry = _mapping(entry, where, {"topic", "type", "field", "select", "slice", *RELATIONS})
            related = [name for name in RELATIONS if entry.get(name) is not None]
            if len(related) > 1:
                raise ValueError(f"{where} has both {' and '.join(related)}, expected one of them")
            if not related:
                yield self._source(entry, where)
                continue
            (relation,) = related
            there = f"{where}.{relation}"
            other = self._source(_mapping(entry[relation], there, {"topic", "type", "field"}), there)
            yield replace(self._source(entry, where), relation=relation, other=other)

    def _source(self, entry: dict[str, Any], where: str) -> Source:
        topic, path = _text(entry, "topic", where), _text(entry, "field", where)
        if not all(part.isidentifier() for part in path.split(".")):
            raise ValueError(f"{where}.field is {path!r}, expected names joined by dots, such as pose.position")
        if "type" in entry:
            name = _text(entry, "type", where)
            if self.types.setdefault(topic, name) != name:
                raise ValueError(f"{where}.type is {name}, but {topic} was given {self.types[topic]} before")
        select = entry.get("select") or []
        if not isinstance(select, list) or not all(isinstance(joint, str) for joint in select):
            raise ValueError(f"{where}.select is {select!r}, expected a list of names")
        if select and "slice" in entry:
            raise ValueError(f"{where} has both select and slice, expected one of them")
        return Source(topic, path, tuple(select), _part(entry.get("slice"), f"{where}.slice"))


def _mapping(value: Any, where: str, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}, expected a mapping with some of: {', '.join(sorted(allowed))}; {FORM}")
    if unknown := sorted(str(key) for key in value if key not in allowed):
        raise ValueError(f"{where} has unknown {', '.join(unknown)}, expected some of: {', '.join(sorted(allowed))}")
    return value


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}.{key} is {value!r}, expected a text; {FORM}")
    return value


def _part(value: Any, where: str) -> slice | None:
    if value is None:
        return None
    start, _, stop = str(value).partition(":")
    if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        raise ValueError(f'{where} is {value!r}, expected "first:end" such as "0:3"')
    return slice(int(start), int(stop))


def _limits(value: Any, where: str) -> dict[str, float]:
    limits = _mapping(value, where, set(value) if isinstance(value, dict) else {"a column's name"})
    for column, limit in limits.items():
        if type(limit) not in (int, float) or not math.isfinite(limit):
            raise ValueError(f"{where}.{column} is {limit!r}, expected a finite number")
    return {str(column): float(limit) for column, limit in limits.items()}

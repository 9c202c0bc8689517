"""What a ROS message class says of its own fields, read from get_fields_and_field_types. Free of ROS."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Resolve = Callable[[str], type[Any]]  # "geometry_msgs/msg/PoseStamped" -> the class

NUMBERS = {"float", "double", "long double", "boolean", "octet", "byte", "char"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
COORDINATES = (["x", "y", "z"], ["x", "y", "z", "w"])
POSE, POSE_SIZE = ["position", "orientation"], 7


def field_size(type_name: str, path: str, resolve: Resolve, leaf: str | None = None) -> int | None:
    """How many numbers a field holds: 1, an array's length, 3 or 4 coordinates, 7 for a pose, None for a sequence.

    type_name: such as geometry_msgs/msg/PoseStamped. path: names joined by dots. leaf: the field type expected instead
    of numbers. Raises ValueError where the type lacks the field, or the field is not numbers.
    """
    kind = _field_type(type_name, path, resolve)
    if leaf is not None:
        if kind != leaf:
            raise ValueError(f"{type_name} has {path} of type {kind}, expected {leaf}")
        return None
    if kind in NUMBERS:
        return 1
    if array := re.fullmatch(r"(.+)\[(\d+)\]", kind):
        if array[1] in NUMBERS:
            return int(array[2])
    elif sequence := re.fullmatch(r"sequence<([^,>]+)(, *\d+)?>", kind):
        if sequence[1] in NUMBERS:
            return None
    elif "/" in kind:
        names = list(resolve(_message_name(kind)).get_fields_and_field_types())
        if names in COORDINATES:
            return len(names)
        if names == POSE:
            return POSE_SIZE
        raise ValueError(
            f"{type_name} has {path} of type {kind}, which is no numbers; name one of {', '.join(names)} in it"
        )
    raise ValueError(f"{type_name} has {path} of type {kind}, expected numbers")


def has_header(type_name: str, resolve: Resolve) -> bool:
    """Whether messages of the type carry a stamp."""
    return bool(resolve(type_name).get_fields_and_field_types().get("header") == "std_msgs/Header")


def _field_type(type_name: str, path: str, resolve: Resolve) -> str:
    kind = type_name
    for name in path.split("."):
        if "/" not in kind or "<" in kind or "[" in kind:
            raise ValueError(f"{type_name}: {name} in {path} is sought in a {kind}, which has no fields")
        fields = resolve(_message_name(kind)).get_fields_and_field_types()
        if name not in fields:
            raise ValueError(f"{kind} has no field {name} (of {path}); it has: {', '.join(fields)}")
        kind = fields[name]
    return kind


def _message_name(kind: str) -> str:
    package, *_, message = kind.split("/")
    return f"{package}/msg/{message}"

"""Message definitions by type name: what a bag carries so that it can be read anywhere, and by anyone, later."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

_CHECKOUT = Path(__file__).parents[1] / "ros2_ws" / "src"


@cache
def definition(msgtype: str) -> tuple[str, str]:
    """Concatenated definition ("ros2msg") and RIHS01 hash of a type such as "std_msgs/msg/Header".

    Raises FileNotFoundError when the type, or one that it refers to, is neither installed nor a standard one.
    """
    store = typestore(msgtype)
    text, _ = store.generate_msgdef(msgtype, ros_version=2)
    return text, store.hash_rihs01(msgtype)


@cache
def typestore(msgtype: str) -> Typestore:
    """A store that can serialise `msgtype`: installed definitions first, then those of stock ROS 2 Jazzy.

    Raises FileNotFoundError as `definition` does.
    """
    stock = get_typestore(Stores.ROS2_JAZZY).fielddefs
    types: dict[str, Any] = {}
    pending = {msgtype}
    while pending:
        name = pending.pop()
        path = _installed(name)
        if path is None and name not in stock:
            raise FileNotFoundError(
                f"no definition of the message type {name!r}: expected share/<package>/msg/<Name>.msg below one of "
                f"{', '.join(map(str, _roots()))}; install the package or source its workspace"
            )
        types |= get_types_from_msg(path.read_text(encoding="utf-8"), name) if path else {name: stock[name]}
        pending |= {used for _, field in types[name][1] if (used := _referred(field))} - types.keys()
    store = get_typestore(Stores.EMPTY)
    store.register(types)
    return store


def _referred(field: Any) -> str | None:
    """The message type that a field's description names, if any."""
    kind, content = field
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return _referred(content[0])
    return content if kind == Nodetype.NAME else None


def _installed(msgtype: str) -> Path | None:
    package, kind, name = (*msgtype.split("/"), "", "")[:3]
    candidates = (root / package / kind / f"{name}.msg" for root in _roots())
    return next((path for path in candidates if path.is_file()), None)


def _roots() -> list[Path]:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    return [Path(prefix) / "share" for prefix in prefixes if prefix] + [_CHECKOUT]

"""A graph's arguments: what is typed, and the values that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Value = bool | int | float | str | list[Any]


@dataclass(frozen=True)
class Argument:
    """One setting of a graph; default and choices are text, as typed on the command line."""

    name: str
    default: str
    description: str
    type: str
    choices: tuple[str, ...] = ()

    def convert(self, text: str) -> Value:
        """The value that `text` stands for. Raises ValueError naming the argument, the text and what was expected."""
        if self.choices and text not in self.choices:
            raise ValueError(f"argument {self.name}: {text!r} is not one of: {', '.join(self.choices)}")
        try:
            return TYPES[self.type](text)
        except ValueError:
            raise ValueError(f"argument {self.name}: {text!r} is not a {self.type}") from None


def as_text(value: Any) -> str:
    """A value as it would be typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _to_path(text: str) -> str:
    # An empty path stays empty: it says "none".
    return str(Path(text).expanduser().absolute()) if text else ""


TYPES: dict[str, Callable[[str], Value]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _to_bool,
    "path": _to_path,
}

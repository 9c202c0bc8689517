"""ROS parameter files: what such a file sets for one node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


def read_parameters(path: Path, node: str) -> dict[str, Any]:
    """Parameters by name, groups of names joined by dots, from the sections `/**`, `/<node>` and `<node>` of a file.

    Of sections that name a parameter alike the last one counts, as in ROS. Raises FileNotFoundError; ValueError naming
    the file and what is wrong with it, also when it has none of these sections.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no parameter file at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None
    form = f"a ROS parameter file, /{node}: {{ros__parameters: {{name: value}}}}"
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds {type(content).__name__}, expected {form}")
    sections = [name for name in content if name in ("/**", f"/{node}", node)]
    if not sections:
        raise ValueError(f"{path} has no parameters for /{node}, only for: {', '.join(map(str, content))}")
    read: dict[str, Any] = {}
    for name in sections:
        section = content[name]
        if not isinstance(section, dict) or not isinstance(section.get("ros__parameters"), dict):
            raise ValueError(f"{path}: section {name} has no mapping ros__parameters, expected {form}")
        read |= _flat(section["ros__parameters"])
    return read


def _flat(group: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

"""Tables whose rows are given in a YAML file: one key, rows, with a list of mappings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import yaml

from psr_core.steering import Steering

Row = TypeVar("Row")
STOCK = Steering(method="none")


class Steered:
    """What the rows of every table have: a steering, STOCK for none."""

    steering: Steering

    @property
    def is_stock(self) -> bool:
        """True for a row without steering."""
        return self.steering.is_identity

    @property
    def is_psr(self) -> bool:
        """True for a row that PSR steers."""
        return self.steering.method == "psr" and not self.is_stock


def read_yaml_rows(path: Path, make: Callable[[Any], Iterable[Row]], example: str) -> list[Row]:
    """What `make` makes of the entries, in their order. example: a file to point to where this one is of another form.

    Raises FileNotFoundError, or ValueError naming the file, the entry and what `make` says is wrong with it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"settings {path} do not exist; give a YAML file like {example}")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    entries = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries or set(document) != {"rows"}:
        raise ValueError(f"{path}: expected one key, rows, with a list; see {example}")
    rows: list[Row] = []
    for number, entry in enumerate(entries, 1):
        try:
            rows += make(entry)
        except ValueError as error:
            name = f" {entry['name']}" if isinstance(entry, dict) and "name" in entry else ""
            raise ValueError(f"{path}: row {number}{name}: {error}") from None
    return rows


def check_fields(entry: Any, required: Collection[str], optional: Collection[str]) -> None:
    """Raises ValueError unless an entry is a mapping with the required fields and none that is unknown."""
    if not isinstance(entry, Mapping) or not set(required) <= set(entry):
        raise ValueError(f"is {entry!r}, expected {' and '.join(required)}, and if wanted {' and '.join(optional)}")
    if unknown := set(entry) - {*required, *optional}:
        expected = ", ".join([*required, *optional])
        raise ValueError(f"unknown field {', '.join(map(str, sorted(unknown, key=str)))}; expected some of: {expected}")


def steering_fields(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields under `steering`, None where it is left out. Raises ValueError when it is no mapping."""
    fields = entry.get("steering")
    if fields is not None and not isinstance(fields, Mapping):
        raise ValueError(f"steering is {fields!r}, expected fields such as {{k: 0.95, sigma: 1.0}}")
    return None if fields is None else {str(name): value for name, value in fields.items()}


def steerings(entry: Mapping[str, Any]) -> list[Steering]:
    """Every steering that an entry stands for: a list is each of its values, no field `steering` the stock sampler.

    Raises ValueError naming the field and its value.
    """
    fields = steering_fields(entry)
    if fields is None:
        return [STOCK]
    choices = [value if isinstance(value, list) else [value] for value in fields.values()]
    if not all(choices):
        raise ValueError("a list under steering is empty, expected values")
    return [Steering.from_dict(dict(zip(fields, values, strict=True))) for values in product(*choices)]


def check_baseline(path: Path, rows: Sequence[Any]) -> None:
    """Raises ValueError naming the row where two sample alike, or the first, the baseline, is steered."""
    check_distinct(path, rows)
    if not rows[0].is_stock:
        raise ValueError(f"{path}: the first row, {rows[0].name}, is the baseline and must have no steering")


def check_distinct(path: Path, rows: Sequence[Any]) -> None:
    """Raises ValueError naming the row where two sample alike."""
    names = [row.name for row in rows]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{path}: two rows are {doubled}; remove one")

"""The settings that `psr reproduce policy` compares, from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psr_core.steering import Steering
from psr_eval.yaml_rows import STOCK, Steered, check_baseline, check_fields, read_yaml_rows, steerings
from psr_policy.policy import SAMPLERS

EXAMPLE = "config/reproduce/policy.yaml"
FAMILIES = {"psr": "PSR", "nns": "naive noise scaling", "nes": "naive epsilon scaling"}


@dataclass(frozen=True)
class Row(Steered):
    """One setting: a sampler of SAMPLERS and how it is steered."""

    sampler: str
    steering: Steering = STOCK

    @property
    def name(self) -> str:
        """For tables, such as "DDIM + psr k=2 σ=0.1"; rows that sample alike have the same."""
        return self.sampler.upper() + ("" if self.is_stock else f" + {self.steering.label()}")

    @property
    def slug(self) -> str:
        """For file names."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower().replace("σ", "sigma"))

    @property
    def family(self) -> str:
        """What the thesis has one line for in table 1.4: the method, Gaussian integrators apart."""
        if self.is_stock:
            return "baseline"
        return FAMILIES[self.steering.method] + ", Gaussian integrators" * (self.steering.integrator != "plain")


def read_rows(path: Path) -> list[Row]:
    """The rows of a YAML file of the form of config/reproduce/policy.yaml.

    Raises FileNotFoundError, or ValueError naming the file, the row and what is wrong with it: two rows that sample
    alike, a first row that is steered, or a steered row whose sampler has no row without steering.
    """
    rows = read_yaml_rows(path, _rows, EXAMPLE)
    check_baseline(path, rows)
    for row in rows:
        if stock_row(rows, row.sampler) is None:
            raise ValueError(f"{path}: {row.name} has nothing to be compared with; add {{sampler: {row.sampler}}}")
    return rows


def stock_row(rows: Sequence[Row], sampler: str) -> Row | None:
    """The row of that sampler without steering."""
    return next((row for row in rows if row.is_stock and row.sampler == sampler), None)


def _rows(entry: Any) -> Iterator[Row]:
    check_fields(entry, ("sampler",), ("steering",))
    if entry["sampler"] not in SAMPLERS:
        raise ValueError(f"sampler is {entry['sampler']!r}, expected one of: {', '.join(SAMPLERS)}")
    for steering in steerings(entry):
        yield Row(entry["sampler"], steering)

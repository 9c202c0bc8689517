"""The settings that `psr reproduce pose` compares, from a YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from psr_core.so3_diffusion import Steps, power_steps, reference_steps, sample_so3
from psr_core.steering import Steering
from psr_eval.yaml_rows import STOCK, Steered, check_baseline, check_fields, read_yaml_rows, steerings

INDEXING = {"correct": power_steps, "upstream": reference_steps}
EXAMPLE = "config/reproduce/pose.yaml"


@dataclass(frozen=True)
class Row(Steered):
    """One setting: so many steps, their injected share of noise (eta), how they are steered, how levels are indexed.

    indexing: "correct", or "upstream" as liepose-diffusion has it (psr_core.so3_diffusion.reference_steps).
    """

    steps: int
    eta: float = 1.0
    steering: Steering = STOCK
    indexing: str = "correct"

    @property
    def unsteered(self) -> Row:
        """Score sampling by the same steps."""
        return replace(self, steering=STOCK)

    @property
    def sampler(self) -> str:
        """What a row is but for its steering, such as "100 steps, eta 0, upstream indexing"; eta 1 is not told."""
        eta = [f"eta {self.eta:g}"] * (self.eta != 1)
        return ", ".join([f"{self.steps} steps", *eta, *["upstream indexing"] * (self.indexing == "upstream")])

    @property
    def name(self) -> str:
        """For tables, such as "score sampling, 100 steps"; rows that sample alike have the same."""
        return f"{'score sampling' if self.is_stock else self.steering.label()}, {self.sampler}"

    def levels(self) -> Steps:
        """The steps. Raises ValueError for a number that the indexing does not have."""
        return INDEXING[self.indexing](self.steps)


def read_rows(path: Path) -> list[Row]:
    """The rows of a YAML file of the form of config/reproduce/pose.yaml.

    Raises FileNotFoundError, or ValueError naming the file, the row and what is wrong with it: a steering that the
    sampler cannot take, two rows that sample alike, a first row that is steered, a row with nothing to compare it with.
    """
    rows = read_yaml_rows(path, _rows, EXAMPLE)
    check_baseline(path, rows)
    for row in rows:
        if stock_row(rows, row) is None:
            fields = f"steps: {row.steps}, eta: {row.eta:g}, indexing: {row.indexing}"
            raise ValueError(f"{path}: {row.name} has nothing to be compared with; add {{{fields}}}")
    return rows


def stock_row(rows: Sequence[Row], row: Row) -> Row | None:
    """Of the rows, score sampling by the same steps as this one."""
    return next((each for each in rows if each.is_stock and each.unsteered == row.unsteered), None)


def _rows(entry: Any) -> Iterator[Row]:
    check_fields(entry, ("steps",), ("eta", "steering", "indexing"))
    indexing = entry.get("indexing", "correct")
    if indexing not in list(INDEXING):
        raise ValueError(f"indexing is {indexing!r}, expected one of: {', '.join(INDEXING)}")
    counts, etas = (value if isinstance(value, list) else [value] for value in (entry["steps"], entry.get("eta", 1)))
    if not counts or not all(type(count) is int for count in counts):
        raise ValueError(f"steps is {entry['steps']!r}, expected a whole number, or a list of such")
    if not etas or not all(type(eta) in (int, float) for eta in etas):
        raise ValueError(f"eta is {entry['eta']!r}, expected a number from 0 to 1, or a list of such")
    for count, eta, steering in product(counts, etas, steerings(entry)):
        row = Row(count, float(eta), steering, indexing)
        row.levels()
        _check_sampler(row)
        yield row


def _check_sampler(row: Row) -> None:
    """Asks the sampler itself, for no step, whether it takes eta and steering together. Raises ValueError."""
    sample_so3(lambda rotations, level: rotations[..., 0], torch.eye(3), [], row.steering, row.eta, torch.Generator())

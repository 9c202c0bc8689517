"""Steered sampling of rotations where the score is known: how near to the modes, and in how many steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from psr_core import so3
from psr_core.so3_mixtures import RotationMixture, SteeredErrors, steered_errors
from psr_core.steering import Steering
from psr_eval.pose_rows import INDEXING
from psr_eval.report_text import head, line, write_files

LOST = 5.0  # degrees of mean error from which a cell is marked as diverged


@dataclass(frozen=True)
class Cell:
    """What a setting comes to. indexing: a key of INDEXING."""

    indexing: str
    found: SteeredErrors

    @property
    def diverged(self) -> bool:
        """Whether its samples are nowhere near the modes on average."""
        return self.found.mean_error > LOST


def table(
    mixture: RotationMixture,
    steps: Sequence[int],
    steering: Steering,
    samples: int,
    error: float,
    seed: int = 0,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[Cell]:
    """Every indexing and number of steps, with eta 1 and 0: unsteered, by `steering`, and by the same with the cap.

    error: standard deviation of the denoiser's error, in units of its noise. report: given how many cells are done, how
    many there are, and what the last was. Raises ValueError as the steps of an indexing do.
    """
    dials = (Steering(), steering, Steering(steering.k, steering.sigma, cap=True))
    wanted = [
        (name, INDEXING[name](count), eta, dial)
        for name in INDEXING
        for count in steps
        for dial in dials
        for eta in (1.0, 0.0)
    ]
    report(0, len(wanted), "")
    cells = []
    for indexing, levels, eta, dial in wanted:
        cells.append(Cell(indexing, steered_errors(mixture, levels, eta, dial, samples, error=error, seed=seed)))
        report(len(cells), len(wanted), f"{len(levels)} steps, {dial.label()}, eta {eta:g}")
    return cells


def chance(mixture: RotationMixture, samples: int = 10_000) -> float:
    """Mean error of uniformly drawn rotations in degrees: what is lost altogether comes to this."""
    drawn = so3.random_rotations((samples,), torch.Generator().manual_seed(0))
    return float(mixture.errors(drawn)[0].rad2deg().mean())


def write_table(
    cells: Sequence[Cell], mixture: RotationMixture, settings: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write table.json and table.md; returns the paths.

    settings: spread_degrees, error, samples and seed, plain values.
    """
    content = {
        "settings": dict(settings),
        "modes": len(mixture.centres),
        "chance_degrees": chance(mixture),
        "cells": [{**asdict(cell.found), "indexing": cell.indexing, "diverged": cell.diverged} for cell in cells],
    }
    files = {
        "table.json": (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        "table.md": as_markdown(cells, mixture, settings).encode(),
    }
    return write_files(folder, files)


def as_markdown(cells: Sequence[Cell], mixture: RotationMixture, settings: Mapping[str, Any]) -> str:
    """The table as text: a line for each indexing and number of steps, a column for each (steering, eta)."""
    modes = len(mixture.centres)
    covered = min((cell.found.modes_covered for cell in cells if not cell.diverged), default=None)
    parts = [
        "# Steering rotations of a known density",
        f"{modes} modes of {settings['spread_degrees']:g} degrees, the exact noise prediction plus an error of "
        f"{settings['error']:g} of its unit (a network's is never 0), {settings['samples']} samples a cell from the "
        f"same rotations, noise and errors, seed {settings['seed']}. Mean error to the nearest mode in degrees; in "
        f"brackets, modes with a sample within 5 degrees. **Bold**: above {LOST:g} degrees, diverged; uniformly drawn "
        f"rotations have {chance(mixture):.1f}.",
        "\n".join(_lines(cells)),
        "Every cell diverged."
        if covered is None
        else f"Where nothing diverged, {covered} or more of {modes} modes are covered.",
    ]
    return "\n\n".join(parts) + "\n"


def _lines(cells: Sequence[Cell]) -> Iterator[str]:
    rows = [list(group) for _, group in groupby(cells, key=lambda cell: (cell.indexing, cell.found.steps))]
    yield head(["indexing, steps", *(_column(cell.found) for cell in rows[0])])
    for row in rows:
        yield line([f"{row[0].indexing}, {row[0].found.steps}", *map(_cell, row)])


def _column(found: SteeredErrors) -> str:
    return f"{'k=1' if found.steering.is_identity else found.steering.label()}, eta {found.eta:g}"


def _cell(cell: Cell) -> str:
    mark = "**" * cell.diverged
    return f"{mark}{cell.found.mean_error:.3g}{mark} ({cell.found.modes_covered})"

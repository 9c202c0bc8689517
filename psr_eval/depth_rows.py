"""The settings that `psr reproduce depth` compares, from a YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from diffusers import DDIMScheduler, DDPMScheduler

from psr_core.scheduler_levels import refusal
from psr_core.steering import Steering
from psr_eval.yaml_rows import STOCK, Steered, check_baseline, check_fields, read_yaml_rows, steerings

SCHEDULERS = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}
EXAMPLE = "config/reproduce/depth.yaml"


@dataclass(frozen=True)
class Row(Steered):
    """One setting: a sampler of SCHEDULERS, how many members' median is taken, and how they are steered."""

    sampler: str
    ensemble: int = 1
    steering: Steering = STOCK

    @property
    def name(self) -> str:
        """For tables, such as "DDIM + psr k=1.3 σ=10, ensemble 2"; rows that sample alike have the same."""
        steered = "" if self.is_stock else f" + {self.steering.label()}"
        return self.sampler.upper() + steered + (f", ensemble {self.ensemble}" if self.ensemble > 1 else "")


def read_rows(path: Path) -> list[Row]:
    """The rows of a YAML file of the form of config/reproduce/depth.yaml.

    Raises FileNotFoundError, or ValueError naming the file, the row and what is wrong with it: a steering that the
    sampler cannot take, two rows that sample alike, a first row that is steered.
    """
    rows = read_yaml_rows(path, _rows, EXAMPLE)
    check_baseline(path, rows)
    return rows


def _rows(entry: Any) -> Iterator[Row]:
    check_fields(entry, ("sampler",), ("ensemble", "steering"))
    sampler, ensemble = entry["sampler"], entry.get("ensemble", 1)
    if sampler not in list(SCHEDULERS):
        raise ValueError(f"sampler is {sampler!r}, expected one of: {', '.join(SCHEDULERS)}")
    members = ensemble if isinstance(ensemble, list) else [ensemble]
    if not members or not all(type(number) is int and number >= 1 for number in members):
        raise ValueError(f"ensemble is {ensemble!r}, expected a whole number of at least 1, or a list of such")
    for number, steering in product(members, steerings(entry)):
        if reason := refusal(SCHEDULERS[sampler](), steering):
            raise ValueError(f"sampler {sampler}: {reason}; here: sampler ddpm is DDPMScheduler, ddim DDIMScheduler")
        yield Row(sampler, number, steering)

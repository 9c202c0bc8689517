"""The settings that `psr reproduce pose-video` compares, from a YAML file: the pose node's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psr_core.so3_diffusion import check_sampling
from psr_core.steering import Steering
from psr_eval.yaml_rows import STOCK, Steered, check_distinct, check_fields, read_yaml_rows, steerings
from psr_perception.frames import NOISES
from psr_perception.pose.runner import PoseRequest
from psr_perception.pose.settings import PoseSettings

EXAMPLE = "config/reproduce/pose_video.yaml"
DEFAULT = PoseSettings()


@dataclass(frozen=True)
class Row(Steered):
    """One setting; the defaults are the pose node's. noise: one of NOISES, as PoseRequest has it."""

    num_inference_steps: int = DEFAULT.num_inference_steps
    eta: float = DEFAULT.eta
    samples: int = DEFAULT.samples
    noise: str = "fixed"
    steering: Steering = STOCK

    @property
    def name(self) -> str:
        """For tables, such as "unsteered, 50 steps, 200 samples, fixed noise"; eta 1 is not told."""
        eta = [f"eta {self.eta:g}"] * (self.eta != 1)
        steps = f"{self.num_inference_steps} steps"
        steering = "unsteered" if self.is_stock else self.steering.label()
        return ", ".join([steering, steps, *eta, f"{self.samples} samples", f"{self.noise} noise"])

    def request(self, seed: int) -> PoseRequest:
        """What the node's runner is asked for. Raises ValueError naming the field."""
        settings = PoseSettings(self.num_inference_steps, self.eta, self.samples, seed=seed)
        return PoseRequest(settings, self.steering, noise=self.noise)


def read_rows(path: Path) -> list[Row]:
    """The rows of a YAML file of the form of config/reproduce/pose_video.yaml.

    Raises FileNotFoundError, or ValueError naming the file, the row and what is wrong with it, or two rows alike.
    """
    rows = read_yaml_rows(path, _rows, EXAMPLE)
    check_distinct(path, rows)
    return rows


def _rows(entry: Any) -> Iterator[Row]:
    check_fields(entry, (), ("num_inference_steps", "eta", "samples", "noise", "steering"))
    fields = {name: value for name, value in entry.items() if name != "steering"}
    noise, eta = fields.get("noise", "fixed"), fields.get("eta", 1)
    if noise not in list(NOISES):
        raise ValueError(f"noise is {noise!r}, expected one of: {', '.join(NOISES)}")
    if type(eta) not in (int, float):
        raise ValueError(f"eta is {eta!r}, expected a number from 0 to 1")
    for steering in steerings(entry):
        row = Row(**{**fields, "eta": float(eta)}, steering=steering)
        row.request(0)
        check_sampling(row.steering, row.eta)
        yield row

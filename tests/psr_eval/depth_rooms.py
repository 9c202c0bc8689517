"""Made-up metrics of depth settings, and rooms of which nearly all are for the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from psr_core.steering import Steering
from psr_eval.depth_rows import Row
from psr_perception.depth.metrics import DepthMetrics
from tests.psr_perception.depth.made_up_rooms import write_rooms

DDIM, DDIM2, DDIM10 = Row("ddim"), Row("ddim", 2), Row("ddim", 10)


def psr(k: float, sigma: float = 10.0, ensemble: int = 1, sampler: str = "ddim", **fields) -> Row:
    return Row(sampler, ensemble, Steering(k=k, sigma=sigma, **fields))


def made_up(abs_rel: Mapping[Row, Sequence[float]]) -> dict[Row, list[DepthMetrics]]:
    """For each row the AbsRel of every image; the other metrics follow from it: δ1 falls as it rises."""
    return {
        row: [DepthMetrics(float(a), 1 - float(a), 1.0, 1.0, 2 * float(a)) for a in np.asarray(values)]
        for row, values in abs_rel.items()
    }


def write_test_rooms(folder: Path, count: int = 4) -> Path:
    """`count` images of 16 x 24 pixels in the test split, one in the other."""
    write_rooms(folder, count, (16, 24))
    path = folder / "index.json"
    index = json.loads(path.read_text())
    index["train"], index["test"] = index["test"], index["train"]
    path.write_text(json.dumps(index))
    return folder

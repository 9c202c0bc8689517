"""Outcomes of policy settings that were never played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from psr_core.steering import Steering
from psr_eval.player import Outcome
from psr_eval.policy_rows import Row

DDIM, DDPM = Row("ddim"), Row("ddpm")
FIRST = 100_000


def psr(k: float, sigma: float = 0.1, sampler: str = "ddim", **fields) -> Row:
    return Row(sampler, Steering(k=k, sigma=sigma, **fields))


def made_up(values: Mapping[Row, np.ndarray]) -> dict[Row, list[dict[int, Outcome]]]:
    """For each row numbers (checkpoints, states) in [0, 1]: the largest rewards; an episode with 1 is a success."""
    return {row: [_episodes(line) for line in np.atleast_2d(table)] for row, table in values.items()}


def _episodes(rewards: Sequence[float]) -> dict[int, Outcome]:
    seeds = range(FIRST, FIRST + len(rewards))
    return {s: Outcome(s, bool(r == 1), float(r), 9, []) for s, r in zip(seeds, rewards, strict=True)}

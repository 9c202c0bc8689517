"""Which setting of a policy is better, and whether that is more than chance and the search for the best.

Every setting has played the same initial states on the same checkpoints, so all comparisons are paired. The best of
many settings looks better than it is on the states that it was chosen by. So the states are halved, in the order of
their seeds: a setting is chosen by those at even positions and judged by those at odd positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psr_core.statistics import paired_bootstrap, wilson_interval
from psr_eval.paired import HELD_OUT, RESAMPLES, SELECTION, Difference, sign_flip_p
from psr_eval.player import Outcome
from psr_eval.policy_rows import Row, stock_row

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """One setting on all initial states. scores: mean score on each checkpoint; spread: their standard deviation.

    by_state: the score of each initial state, in the order of their seeds, as a mean over the checkpoints.
    difference: to the same sampler unsteered, and success_p: sign_flip_p of the successes, McNemar's; None for that
    itself. refused: episodes that ended because the policy asked for an impossible action.
    """

    row: Row
    episodes: int
    successes: int
    wilson95: tuple[float, float]
    max_reward: float
    scores: tuple[float, ...]
    by_state: tuple[float, ...]
    refused: int
    difference: Difference | None
    success_p: float | None

    @property
    def score(self) -> float:
        """Mean score over all episodes."""
        return float(np.mean(self.scores))

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the score over checkpoints; None for one."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class Choice:
    """The best of several settings, chosen in two ways; each difference is to `baseline`.

    best has the highest score on all states, on which best_difference is measured, too: that flatters it. chosen has
    the highest score on the selection half; held_out is its difference on the other half. A difference is None where
    the baseline itself was best. Among equals the first row counts.
    """

    name: str
    baseline: Row
    best: Row
    best_difference: Difference | None
    chosen: Row
    selection_gain: float
    held_out: Difference | None

    @property
    def verdict(self) -> str:
        """ "gain", "none" or "loss" on the held-out half."""
        return self.held_out.verdict if self.held_out else "none"

    @property
    def confirmed(self) -> Row:
        """The chosen row if it was a gain, otherwise the baseline."""
        return self.chosen if self.verdict == "gain" else self.baseline


@dataclass(frozen=True)
class Comparison:
    """Results of all rows in their order; a choice for each family of each sampler; and the choice among all rows."""

    score: str
    states: int
    results: tuple[Result, ...]
    families: tuple[Choice, ...]
    overall: Choice

    def result(self, row: Row) -> Result:
        """The result of that row."""
        return next(result for result in self.results if result.row == row)


def compare(
    outcomes: Mapping[Row, Sequence[Mapping[int, Outcome]]], score: str, resamples: int = RESAMPLES
) -> Comparison:
    """Compares rows by their outcomes: for each row a mapping from seed to outcome for every checkpoint.

    score: "success" or "max_reward". The first row is the baseline; every sampler has a row without steering. Raises
    ValueError when rows differ in their checkpoints or seeds, or there are fewer than two initial states.
    """
    if score not in ("success", "max_reward"):
        raise ValueError(f"score is {score!r}, expected success or max_reward")
    rows = list(outcomes)
    seeds = sorted(outcomes[rows[0]][0])
    if len(seeds) < 2:
        raise ValueError(f"there are {len(seeds)} initial states, expected 2 or more: one for each half")
    for row in rows:
        if len(outcomes[row]) != len(outcomes[rows[0]]) or any(sorted(found) != seeds for found in outcomes[row]):
            raise ValueError(f"{row.name} has other checkpoints or initial states than {rows[0].name}")
    tables = {row: _Table(outcomes[row], seeds) for row in rows}
    scores = {row: np.asarray(getattr(table, score), float) for row, table in tables.items()}
    families: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.is_stock:
            families.setdefault((row.sampler, row.family), []).append(row)
    return Comparison(
        score,
        len(seeds),
        tuple(_result(row, tables, scores, resamples) for row in rows),
        tuple(
            _choice(f"{sampler.upper()} + {name}", members, _stock(rows, sampler), scores, resamples)
            for (sampler, name), members in families.items()
        ),
        _choice("all settings", rows, rows[0], scores, resamples),
    )


class _Table:
    """The outcomes of a row as arrays (checkpoints, states), states in the order of their seeds."""

    def __init__(self, outcomes: Sequence[Mapping[int, Outcome]], seeds: Sequence[int]) -> None:
        found = [[each[seed] for seed in seeds] for each in outcomes]
        self.success = np.array([[outcome.success for outcome in line] for line in found])
        self.max_reward = np.array([[outcome.max_reward for outcome in line] for line in found])
        self.refused = sum(bool(outcome.reason) for line in found for outcome in line)


def _stock(rows: Sequence[Row], sampler: str) -> Row:
    found = stock_row(rows, sampler)
    if found is None:
        raise ValueError(f"no row without steering for sampler {sampler}")
    return found


def _result(row: Row, tables: Mapping[Row, _Table], scores: Mapping[Row, Array], resamples: int) -> Result:
    table, stock = tables[row], _stock(list(tables), row.sampler)
    successes, n = int(table.success.sum()), table.success.size
    other = row != stock
    return Result(
        row,
        n,
        successes,
        wilson_interval(successes, n),
        float(table.max_reward.mean()),
        tuple(map(float, scores[row].mean(axis=1))),
        tuple(map(float, scores[row].mean(axis=0))),
        table.refused,
        difference(scores[stock], scores[row], resamples) if other else None,
        sign_flip_p((table.success * 1 - tables[stock].success).sum(axis=0)) if other else None,
    )


def _choice(name: str, rows: Sequence[Row], baseline: Row, scores: Mapping[Row, Array], resamples: int) -> Choice:
    best = max(rows, key=lambda row: float(scores[row].mean()))
    chosen = max(rows, key=lambda row: float(scores[row][:, SELECTION].mean()))
    selection = scores[chosen][:, SELECTION] - scores[baseline][:, SELECTION]
    return Choice(
        name,
        baseline,
        best,
        None if best == baseline else difference(scores[baseline], scores[best], resamples),
        chosen,
        float(selection.mean()),
        None
        if chosen == baseline
        else difference(scores[baseline][:, HELD_OUT], scores[chosen][:, HELD_OUT], resamples),
    )


def difference(base: Array, other: Array, resamples: int = RESAMPLES) -> Difference:
    """By how much `other` lies above `base`; both hold scores (checkpoints, states)."""
    mean, low, high = paired_bootstrap(base.mean(axis=0), other.mean(axis=0), n=resamples)
    gaps = other - base
    return Difference(mean, low, high, sign_flip_p(gaps.sum(axis=0)), int((gaps > 0).sum()), int((gaps < 0).sum()))

"""Scores as a text table, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from psr_eval.scores import Comparison, Group, Scores
from psr_eval.steering_changes import SteeringChange

COLUMNS = (
    "steering",
    "success",
    "rate",
    "95 % interval",
    "aborted",
    "steps to success, mean / median",
    "latency, median / 95 %",
    "deadlines missed",
)


def as_text(scores: Scores, changes: Sequence[SteeringChange] = ()) -> str:
    """A table of the groups, the comparisons, the turns of the dial and the notes, for a terminal."""
    parts = [_table(label, groups) for label, groups in by_kind(scores)] or ["no finished episode"]
    if scores.comparisons:
        parts.append("on the same seeds:\n" + "\n".join(f"  {comparison_line(one)}" for one in scores.comparisons))
    if changes:
        parts.append("turns of the dial:\n" + "\n".join(f"  {change.line()}" for change in changes))
    if scores.notes:
        parts.append("notes:\n" + "\n".join(f"  {note}" for note in scores.notes))
    return "\n\n".join(parts)


def by_kind(scores: Scores) -> list[tuple[str, list[Group]]]:
    """The groups that differ in the dial only, together, under one label."""
    return [
        (groups[0].setting.kind_label(), groups)
        for _, run in groupby(scores.groups, key=lambda group: group.setting.kind)
        for groups in [list(run)]
    ]


def row(group: Group) -> tuple[str, ...]:
    """One group as text, by COLUMNS."""
    known = group.steps_mean is not None
    return (
        group.setting.label(),
        f"{group.successes}/{group.n}",
        percent(group.rate),
        f"{percent(group.low)} to {percent(group.high)}" if group.n else "–",
        str(group.aborted),
        f"{group.steps_mean:.1f} / {group.steps_median:g}" if known else "–",
        f"{milliseconds(group.latency_p50)} / {milliseconds(group.latency_p95)}",
        str(group.deadline_misses),
    )


def comparison_line(one: Comparison) -> str:
    """One comparison as a sentence."""
    names = [f"{setting.label()} ({setting.kind_label()})" for setting in (one.setting, one.reference)]
    if one.setting.kind == one.reference.kind:
        names = [one.setting.label(), f"{one.reference.label()} ({one.setting.kind_label()})"]
    return (
        f"{names[0]} against {names[1]}: "
        f"{one.difference:+.1%} ({one.low:+.1%} to {one.high:+.1%}) on {one.pairs} seeds; "
        f"on {one.only_setting} the first alone succeeds, on {one.only_reference} the second alone; "
        f"exact McNemar p = {one.p_value:.3g}"
    )


def as_dict(scores: Scores, changes: Sequence[SteeringChange] = ()) -> dict[str, Any]:
    """Everything, as plain values for JSON; what is not known is None."""
    return {
        "groups": [_flat(group) | {"seeds": list(group.seeds)} for group in scores.groups],
        "comparisons": [asdict(one) for one in scores.comparisons],
        "episodes": [_jsonable(asdict(one)) for one in scores.episodes],
        "incomplete": [_jsonable(asdict(one)) for one in scores.incomplete],
        "steering_changes": [_jsonable(asdict(change)) for change in changes],
        "notes": scores.notes,
    }


def write_json(scores: Scores, path: Path, changes: Sequence[SteeringChange] = ()) -> None:
    """Write as_dict to a file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_dict(scores, changes), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(scores: Scores, path: Path) -> None:
    """Write one line per group, comma-separated, with a header; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [_flat(group) for group in scores.groups]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def milliseconds(value: float | None) -> str:
    """Seconds as milliseconds for people, or a dash."""
    return "–" if value is None else f"{value * 1e3:.1f} ms"


def percent(value: float | None) -> str:
    """A rate for people, or a dash."""
    return "–" if value is None else f"{value:.1%}"


def _table(label: str, groups: Sequence[Group]) -> str:
    rows = [COLUMNS, *map(row, groups)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in rows]
    return "\n".join([label, *(f"  {line}".rstrip() for line in lines)])


def _flat(group: Group) -> dict[str, Any]:
    """One level deep: the setting's fields, the steering's as steering.k and so on, then the numbers."""
    fields = asdict(group)
    setting = fields.pop("setting")
    steering = setting.pop("steering") or dict.fromkeys(("k", "sigma", "method", "integrator", "cap"))
    del fields["seeds"]
    return setting | {f"steering.{name}": value for name, value in steering.items()} | fields | {"rate": group.rate}


def _jsonable(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}

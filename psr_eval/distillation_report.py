"""The report of the distillation toys: questions answered, tables, the same as JSON, and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psr_eval.distillation_figures import write_landscapes, write_samples
from psr_eval.distillation_results import (
    CLAIMED_CALLS,
    CONTENDERS,
    DIVERSE,
    HIGHER_IS_BETTER,
    Case,
    Entry,
    cases,
    distance_to_ddim,
    diversity,
    from_the_centre,
    more_efficient,
    steered,
)
from psr_eval.distillation_rows import ROWS
from psr_eval.distillation_toy import Job
from psr_eval.paired import tally, verdict
from psr_eval.point_metrics import METRICS, OUTSIDE
from psr_eval.report_text import as_triple, estimate_text, head, line, marked, write_files

INTRODUCTION = """# Score distillation against the truth

Densities of the plane of which everything is known. Every row asked the model at most {calls} times for each of its
{particles} particles (seed {seed}), counted as it ran.

* NLL: mean negative log density. inside: share of the particles where the density is above the level that {inside:.0%}
  of its mass is above. precision, recall: nearest neighbours, k = 3. coverage: share of the truth's samples that have a
  particle within their own third neighbour's distance; particles far off raise recall, but not this. MMD²: squared and
  unbiased, times 1000. spread: variance over the truth's. ln eff: equation 17 of MSD, natural logarithm, at half of the
  run; "none" where the gradient has no chance in it.
* The row "truth" has as many samples of the density itself: what can be reached. In brackets 95 % intervals, from
  random halves of the particles and of the truth's samples; a share that is 0 or 1 in all halves shows none.
* exact: the density's own noise prediction; samples: the ideal denoiser of 1000 samples; learned: a small network.
* Differences are paired. "yes" and "no" need an interval that excludes 0; "open" is everything else.
"""


def write_report(
    jobs: Sequence[Job], results: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Writes table.md, table.json, samples.png and landscapes.png into a folder; returns the paths."""
    found = cases(jobs, results)
    content = json.dumps(as_json(found, settings), indent=1, ensure_ascii=False) + "\n"
    files = {"table.md": as_markdown(found, settings).encode(), "table.json": content.encode()}
    paths = write_files(folder, files)
    write_samples(found, folder / "samples.png")
    paths.append(folder / "samples.png")
    if any(case.grounds for case in found):
        write_landscapes(found, folder / "landscapes.png")
        paths.append(folder / "landscapes.png")
    return paths


def as_json(found: Sequence[Case], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All figures with their intervals, without the particles."""

    def row(entry: Entry) -> dict[str, Any]:
        figures = {metric: as_triple(entry.scores.estimate(metric)) for metric in METRICS}
        counted = {name: entry.result[name] for name in ("iterations", "calls", "seconds")}
        efficiency = entry.efficiency and as_triple(entry.efficiency)
        return {"row": entry.row.settings(), **counted, **figures, "log_efficiency": efficiency}

    return {
        "settings": dict(settings),
        "cases": [
            {
                "data": case.known.data,
                "prior": case.known.prior_kind,
                "training": dict(case.known.training),
                "rows": [row(entry) for entry in case.entries.values()],
                "landscapes": [
                    {
                        "row": g.row.name,
                        "share": g.share,
                        "minima": g.minima.count,
                        "inside": g.minima.inside,
                    }
                    for g in case.grounds
                ],
            }
            for case in found
        ],
    }


def as_markdown(found: Sequence[Case], settings: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [INTRODUCTION.format(inside=1 - OUTSIDE, **settings), "## Answers"]
    parts += [
        text
        for part in (_above_sds, _most_diverse, _start, _ddim, _efficiency, _calls, _minima)
        for text in part(found)
    ]
    parts += [*_steering(found), "## Every row", *(_table(case) for case in found)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _across(found: Sequence[Case], rows: Mapping[str, Callable[[Case], str]], corner: str) -> str:
    """A table with a column for each case."""
    lines = [line([name, *(cell(case) for case in found)]) for name, cell in rows.items()]
    return "\n".join([head([corner, *(case.name for case in found)]), *lines])


def _above_sds(found: Sequence[Case]) -> Iterator[str]:
    present = [name for name in CONTENDERS if any(case.difference(name, "SDS", "nll") for case in found)]
    if not present:
        return
    yield "### Is it more faithful, more diverse than SDS?"
    lines = [head(["", *HIGHER_IS_BETTER, "lower NLL"])]
    for name in present:
        cells = [tally(verdict(case.difference(name, "SDS", metric)) for case in found) for metric in HIGHER_IS_BETTER]
        lines.append(line([name, *cells, tally(verdict(case.difference("SDS", name, "nll")) for case in found)]))
    yield "\n".join(lines)
    yield "By how much, inside and coverage:"
    rows = {
        f"{name}, {metric}": lambda case, name=name, metric=metric: marked(case.difference(name, "SDS", metric))
        for name in present
        for metric in ("inside", "coverage")
    }
    yield _across(found, rows, "less SDS's")


def _most_diverse(found: Sequence[Case]) -> Iterator[str]:
    asked = {name: [diversity(case, name) for case in found] for name in DIVERSE}
    asked = {name: answers for name, answers in asked.items() if any(answers)}
    if not asked:
        return
    yield "### Is DSD the most diverse at equal fidelity?"
    yield (
        "Among other methods whose NLL is not higher for sure: does it cover more of the truth than every one of them? "
        "With the one that covers most, and DSD's lead over it."
    )
    lines = [head(["", *(case.name for case in found)])]
    for name, answers in asked.items():
        cells = []
        for answer in answers:
            if answer is None:
                cells.append("–")
            elif answer.lead is None:
                cells.append("**yes**: none is as faithful")
            else:
                cells.append(f"**{answer.verdict}**: {answer.rival}, {estimate_text(answer.lead, sign='+')}")
        lines.append(line([name, *cells]))
    yield "\n".join(lines)


def _start(found: Sequence[Case]) -> Iterator[str]:
    asked = [case for case in found if from_the_centre(case, "coverage")]
    if not asked:
        return
    yield "### Whose diversity is that of the start?"
    yield "Coverage from particles all over the square (DSD: from its own start) less coverage with all at the centre:"
    names = list(dict.fromkeys(name for case in asked for name in from_the_centre(case, "coverage")))
    rows = {name: lambda case, name=name: marked(from_the_centre(case, "coverage").get(name)) for name in names}
    yield _across(asked, rows, "")


def _ddim(found: Sequence[Case]) -> Iterator[str]:
    pairs = [("DSD", "DDIM"), ("DSD", "DDIM, 10 steps"), ("DSD, grid 50", "DDIM"), ("DDIM, 10 steps", "DDIM")]
    if not any(distance_to_ddim(case, *pair) is not None for case in found for pair in pairs):
        return

    def cell(case: Case, pair: tuple[str, str]) -> str:
        distance = distance_to_ddim(case, *pair)
        return "–" if distance is None else f"{distance:.3f}; {marked(case.difference(*pair, 'coverage'))}"

    yield "### Does DSD end where DDIM does?"
    yield "Median distance to the sample that DDIM makes of the same noise; and coverage less that of DDIM:"
    rows = {f"{one} to {other}": lambda case, pair=(one, other): cell(case, pair) for one, other in pairs}
    yield _across(found, rows, "")


def _efficiency(found: Sequence[Case]) -> Iterator[str]:
    names = list(dict.fromkeys(name for case in found for name, entry in case.entries.items() if entry.has_efficiency))
    if not names:
        return
    yield "### Whose gradient is the most efficient estimate?"
    yield (
        "ln of ||E m||² / (E||m - E m||² cost), cost in calls; 0 would be a mean as large as its noise at one call. "
        "DSD and Consistent3D: between seeds, which differ on purpose; for one seed their gradient has no chance in it."
    )
    yield _across(found, {name: lambda case, name=name: _log_efficiency(case.entries.get(name)) for name in names}, "")
    above = {name: tally(more_efficient(case, name, "SDS") for case in found) for name in names if name != "SDS"}
    if any(above.values()):
        yield "Above SDS's: " + "; ".join(f"{name} {text}" for name, text in above.items() if text) + "."


def _log_efficiency(entry: Entry | None) -> str:
    if entry is None or not entry.has_efficiency:
        return "–"
    return "none" if entry.efficiency is None else estimate_text(entry.efficiency)


def _calls(found: Sequence[Case]) -> Iterator[str]:
    names = [row.name for row in ROWS if row.is_distillation and any(row.name in case.entries for case in found)]
    if not names:
        return
    yield "### What does an iteration cost?"
    lines = [head(["", "calls, counted", "claimed", "iterations", f"seconds ({found[0].name})"])]
    for name in names:
        entry = next(case.entries[name] for case in found if name in case.entries)
        claimed = f"{CLAIMED_CALLS[name]:g}" if name in CLAIMED_CALLS else ""
        counted = [f"{entry.calls_each:.2f}", claimed, str(entry.result["iterations"])]
        lines.append(line([name, *counted, f"{entry.result['seconds']:.1f}"]))
    yield "\n".join(lines)


def _minima(found: Sequence[Case]) -> Iterator[str]:
    grounds = [(case, ground) for case in found for ground in case.grounds]
    if not grounds:
        return
    yield "### Are the minima of the loss where the data are?"
    yield "Minima of the loss that the mean gradient descends, integrated on a lattice (landscapes.png):"
    lines = [head(["", "row", "of its run", "minima", "inside"])]
    for case, ground in grounds:
        found_here = ground.minima
        lines.append(
            line([case.name, ground.row.name, f"{ground.share:.0%}", str(found_here.count), str(found_here.inside)])
        )
    yield "\n".join(lines)


def _steering(found: Sequence[Case]) -> Iterator[str]:
    asked = [case for case in found if steered(case)]
    if not asked:
        return
    yield "### What does steering do to DSD?"
    yield "Change to DSD with k = 1, in bold where its interval excludes 0."
    shown = ("nll", "inside", "precision", "recall", "coverage", "spread")
    for case in asked:
        lines = [head([case.name, *("NLL" if metric == "nll" else metric for metric in shown)])]
        lines += [line([dial, *(marked(changes[m]) for m in shown)]) for dial, changes in steered(case).items()]
        yield "\n".join(lines)


def _table(case: Case) -> str:
    training = case.known.training
    learned = (
        f"\n\nThe network's error: {training['error']:.3f} of the noise, {training['steps']} steps." if training else ""
    )
    lines = [head([case.name, "NLL", "inside", "precision", "recall", "coverage", "MMD²", "spread", "ln eff", "calls"])]
    for name, entry in case.entries.items():
        figures = [estimate_text(entry.scores.estimate(metric), 1000 if metric == "mmd" else 1) for metric in METRICS]
        lines.append(line([name, *figures, _log_efficiency(entry), f"{entry.result['calls']:.0f}"]))
    return "\n".join(lines) + learned

"""The report of distillation of objects: questions answered, the table, the same as JSON, and pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psr_eval.fronts import FrontRule
from psr_eval.mesh_figures import write_objects
from psr_eval.mesh_rows import DSD, LINEAR, METHOD_ROWS, ONE_NOISE, PUBLISHED, RANDOM, RECOMPUTED, SDS, VIEW_ROWS
from psr_eval.mesh_scores import METRICS
from psr_eval.paired import verdict
from psr_eval.picture_answers import change_text, faithful_rows, figure_text, lead_in, lead_text
from psr_eval.picture_scores import Comparison, Entry
from psr_eval.report_text import as_triple, head, line, write_files

DIGITS = {"diversity": 3, "pixel_diversity": 3, "frechet": 3}  # after the point; of the other metrics 1
CHANGES = ("text", "frechet", "diversity", "pixel_diversity")
FRONTS = ("repeated_front", "right_round")
INTRODUCTION = """# Score distillation of objects

Every row made an object of each of {prompts} prompts from {seeds} seeds, with the settings of `psr mesh --preset
{preset}` but for its iterations: as many as ask the model for at most {calls} guided predictions an object, all views
counted, with the cameras of seed 0 (other cameras change the cost of DSD's trajectories a little). Learning rates fall
to 0 with the preset's sum, but from at most twice its rate. Prior: {prior}, {size}.

* Figures are of views from 8 sides at 15 degrees, the same for every object. agreement: 100 times the cosine of view
  and prompt, with the view's word where it is known, in the space of {space}. Fréchet: distance of all views of a row
  to {aim}, in the same space; it compares rows of this table alone. diversity: 1 less the cosine between two seeds of
  a prompt, from the same camera; not LPIPS, which the thesis has. In pixels: the root mean square difference.
* repeated front: front and back both read as fronts; front and back: as what they should be ("Fronts", below).
  quality, sharpness, realness: CLIP-IQA, where {space} knows its words.
* In brackets 95 % intervals, from objects drawn with replacement; they say what other seeds would change, not what
  other prompts would. Differences are paired. "yes" and "no", and bold, need an interval that excludes 0. Objects that
  diverged count in no figure but their own.
* Not the thesis' figures: those are of Stable Diffusion at 512 pixels, 15 prompts of 10 objects, CLIP, LPIPS, FID of
  Inception, and each method with the 10,000 iterations or more of its code.
"""


def write_report(
    found: Comparison,
    rules: Mapping[str, FrontRule],
    settings: Mapping[str, Any],
    notes: Sequence[str],
    folder: Path,
) -> list[Path]:
    """Writes table.md, table.json and objects_<prompt>.png into a folder.

    settings: what decides the figures; prior, size, preset, seeds, calls, space and aim are told in the text.
    """
    content = json.dumps(as_json(found, rules, settings, notes), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files = {"table.md": as_markdown(found, rules, settings, notes).encode(), "table.json": content.encode()}
    paths = write_files(folder, files)
    for number, prompt in enumerate(found.prompts):
        words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
        paths.append(folder / f"objects_{number + 1}_{words}.png")
        write_objects(found, number, paths[-1])
    return paths


def as_json(
    found: Comparison, rules: Mapping[str, FrontRule], settings: Mapping[str, Any], notes: Sequence[str]
) -> dict[str, Any]:
    """All figures with their intervals; null for what was not measured."""
    rows = []
    for name, entry in found.entries.items():
        figures = {metric: found.estimate(name, metric) for metric in METRICS}
        rows.append(
            {
                "row": entry.row.settings(),
                **{metric: None if one is None else as_triple(one) for metric, one in figures.items()},
                "diverged": float(1 - entry.finite.mean()),
                "problems": sorted({one.figures["problem"] for one in entry.results} - {""}),
                **{cost: entry.figure(cost) for cost in ("iterations", "calls", "model", "seconds", "peak_mb")},
            }
        )
    told = {prompt: {"kind": rule.kind, "right": rule.right, "tested": rule.tested} for prompt, rule in rules.items()}
    return {"settings": dict(settings), "notes": list(notes), "fronts": told, "rows": rows}


def as_markdown(
    found: Comparison, rules: Mapping[str, FrontRule], settings: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """The whole report."""
    told = {**settings, "prompts": len(found.prompts), "seeds": found.seeds}
    parts = [INTRODUCTION.format(**told), "Prompts: " + "; ".join(found.prompts) + ".", *notes]
    answers = [*_most_diverse(found), *_ablation(found), *_cost(found), *_views(found)]
    parts += ["## Answers", *answers] if answers else []
    parts += ["## Every row", _table(found), *_diverged(found), "## Fronts", _fronts(found, rules)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _most_diverse(found: Comparison) -> Iterator[str]:
    others = [row.name for row in METHOD_ROWS if row.method != DSD.method and row.name in found.entries]
    metrics = [metric for metric in ("diversity", "pixel_diversity") if metric in found.metrics()]
    if DSD.name not in found.entries or not others or found.seeds < 2:
        return
    yield "### Is DSD the most diverse at equal fidelity?"
    if not {"text", "frechet"} <= set(found.metrics()):
        yield "Fidelity was not measured (--clip), so this compares the diversity of all methods, whatever they show."
    for name in (DSD.name, PUBLISHED.name):
        if name in found.entries:
            rivals = faithful_rows(found, name, others)
            said = [f"* In {METRICS[one][0]}: {lead_text(lead_in(found, name, rivals, one))}" for one in metrics]
            beside = "; ".join(rivals) or "no others"
            yield "\n".join([f"{name}, beside those that are not less faithful for sure ({beside}):", "", *said])


def _ablation(found: Comparison) -> Iterator[str]:
    yield from _changes(
        found, "Does the noise of the trajectory matter? (table 2.3)", [RANDOM.name, LINEAR.name, ONE_NOISE.name]
    )


def _changes(found: Comparison, title: str, names: Sequence[str]) -> Iterator[str]:
    present = [name for name in names if name in found.entries]
    if DSD.name not in found.entries or not present:
        return
    yield f"### {title}"
    metrics = [metric for metric in CHANGES if metric in found.metrics()]
    lines = [head(["DSD less", *(METRICS[metric][0] for metric in metrics)])]
    lines += [line([name, *(_change(found, DSD.name, name, metric) for metric in metrics)]) for name in present]
    yield "\n".join(lines)


def _cost(found: Comparison) -> Iterator[str]:
    names = [row.name for row in (SDS, DSD, RECOMPUTED, PUBLISHED) if row.name in found.entries]
    if DSD.name not in names or len(names) < 2:
        return
    yield "### What does DSD cost, and what does it save to keep its trajectories?"
    lines = [head(["", "calls a view and iteration", "seconds an iteration", "iterations", "seconds", "peak MB"])]
    for name in names:
        entry = found.entries[name]
        cost = [f"{_a_view(entry):.2f}", f"{entry.each('seconds'):.2f}"]
        lines.append(line([name, *cost, *(f"{entry.figure(one):.0f}" for one in ("iterations", "seconds", "peak_mb"))]))
    yield "\n".join(lines)
    dsd = found.entries[DSD.name]
    said = [
        f"{_a_view(dsd) / _a_view(other):.2f} times the calls and {dsd.each('seconds') / other.each('seconds'):.2f} "
        f"times the time of {name}"
        for name, other in found.entries.items()
        if name in names and name != DSD.name
    ]
    yield f"An iteration of DSD costs {'; '.join(said)}."
    yield from _changes(found, "What do the calls that it saves buy?", [RECOMPUTED.name, PUBLISHED.name])


def _a_view(entry: Entry) -> float:
    """Guided predictions of a view in an iteration."""
    return entry.each("calls") / float(entry.results[0].figures["views"])


def _views(found: Comparison) -> Iterator[str]:
    names = [row.name for row in VIEW_ROWS if row.name in found.entries]
    if len(names) < 2:
        return
    yield "### Do view words and Perp-Neg keep fronts from being repeated?"
    metrics = [metric for metric in (*FRONTS, *CHANGES) if metric in found.metrics()]
    lines = [head(["", *(METRICS[metric][0] for metric in metrics)])]
    lines += [line([name, *(_figure(found, name, metric) for metric in metrics)]) for name in names]
    yield "\n".join(lines)
    if FRONTS[0] in metrics:
        words = {"yes": "more", "no": "fewer", "open": "not shown to differ"}
        said = [
            f"* {name} beside {names[0]}: {words[verdict(found.difference(name, names[0], FRONTS[0])) or 'open']} "
            f"({_change(found, name, names[0], FRONTS[0])} %)."
            for name in names[1:]
        ]
        yield "\n".join(["Repeated fronts:", "", *said])


def _diverged(found: Comparison) -> Iterator[str]:
    for name, entry in found.entries.items():
        if problems := sorted({one.figures["problem"] for one in entry.results} - {""}):
            yield f"* {name}, diverged: {'; '.join(problems)}."


def _fronts(found: Comparison, rules: Mapping[str, FrontRule]) -> str:
    """The rule, and how good it is."""
    unknown = [prompt for prompt in found.prompts if prompt not in rules]
    if not rules:
        return "Not judged: --real names no folder of `psr objects`, whose pictures say what a front is."
    lines = [
        "A side is read as a front where a linear function of its two views, as 16 x 16 greys, says so on average. It "
        "was fitted to real fronts and backs of that kind. How many real pictures of other objects it reads right:",
        "",
        head(["", "right", "of", "better than chance"]),
    ]
    for prompt, rule in rules.items():
        lines.append(line([prompt, str(rule.right), str(rule.tested), "yes" if rule.told else "no: not judged"]))
    if unknown:
        lines += ["", f"Not judged, without real pictures of them: {'; '.join(unknown)}."]
    return "\n".join(lines)


def _change(found: Comparison, name: str, other: str, metric: str) -> str:
    return change_text(found, name, other, metric, DIGITS.get(metric, 1))


def _figure(found: Comparison, name: str, metric: str) -> str:
    return figure_text(found, name, metric, DIGITS.get(metric, 1))


def _table(found: Comparison) -> str:
    metrics = [metric for metric in METRICS if metric in found.metrics() or metric in ("quality", "repeated_front")]
    lines = [head(["", *(METRICS[m][0] for m in metrics), "diverged", "calls", "iterations", "seconds", "peak MB"])]
    for name, entry in found.entries.items():
        cost = [f"{1 - entry.finite.mean():.0%}"]
        cost += [f"{entry.figure(one):.0f}" for one in ("calls", "iterations", "seconds", "peak_mb")]
        lines.append(line([name, *(_figure(found, name, metric) for metric in metrics), *cost]))
    return "\n".join(lines)

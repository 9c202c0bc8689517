"""The report of distillation on images: questions answered, the table, the same as JSON, and pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psr_eval.distillation_2d_figures import write_pictures, write_scatter
from psr_eval.distillation_2d_rows import INVERSION_CHANGES, LADDER_CHANGES, METHOD_ROWS, STEERING_CHANGES
from psr_eval.distillation_2d_scores import METRICS
from psr_eval.distillation_results import Diversity
from psr_eval.paired import verdict
from psr_eval.picture_answers import change_text, faithful_rows, figure_text, lead_in, lead_text
from psr_eval.picture_scores import Comparison
from psr_eval.report_text import as_triple, head, line, write_files

DIGITS = {"text": 2}  # after the point; of the other metrics 3
CHANGES = ("text", "frechet", "diversity", "pixel_diversity")
FIDELITY = ("text", "frechet")
INTRODUCTION = """# Score distillation on images

Every row made {seeds} pictures of each of {prompts} prompts, from the same seeds, and asked the model for at most
{calls} guided predictions a picture, counted as it ran. Prior: {prior}, {size}; optimised: {picture}.

* agreement: 100 times the cosine of picture and prompt in the space of {space}. Fréchet: distance of all pictures of a
  row to {aim}, in the same space; it depends on the number of pictures and compares rows of this table alone.
  diversity: 1 less the cosine between two seeds of a prompt, mean over pairs; not LPIPS, which the papers have. In
  pixels: the root mean square difference, colours from 0 to 1, which needs no network and also rewards noise.
  to DDIM: the same two distances to DDIM's picture of the same noise.
* In brackets 95 % intervals, from pictures drawn with replacement, from whole prompts for VSD and ESD; they say what
  other seeds would change, not what other prompts would. Differences are paired. "yes" and "no", and bold, need an
  interval that excludes 0.
* Not the papers' figures: those are of Stable Diffusion, CLIP ViT-L/14 or B/16, LPIPS and FID of Inception, with
  thousands of iterations for each method. Here every row has the same few calls, so that a method of many calls an
  iteration iterates less.
"""


def write_report(found: Comparison, settings: Mapping[str, Any], notes: Sequence[str], folder: Path) -> list[Path]:
    """Writes table.md, table.json, pictures_<prompt>.png and, where fidelity was measured, diversity.png into a folder.

    settings: what decides the figures; prompts, prior, size, picture, seeds, calls, space and aim are told in the text.
    """
    content = json.dumps(as_json(found, settings, notes), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files = {"table.md": as_markdown(found, settings, notes).encode(), "table.json": content.encode()}
    paths = write_files(folder, files, optional=["diversity.png"])
    for number, prompt in enumerate(found.prompts):
        words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
        paths.append(folder / f"pictures_{number + 1}_{words}.png")
        write_pictures(found, number, paths[-1])
    if {"diversity", *FIDELITY} <= set(found.metrics()):
        paths.append(folder / "diversity.png")
        write_scatter(found, paths[-1])
    return paths


def as_json(found: Comparison, settings: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """All figures with their intervals; null for what was not measured."""
    rows = []
    for name, entry in found.entries.items():
        figures = {metric: found.estimate(name, metric) for metric in METRICS}
        rows.append(
            {
                "row": entry.row.settings(),
                **{metric: None if one is None else as_triple(one) for metric, one in figures.items()},
                "diverged": float(1 - entry.finite.mean()),
                **{cost: entry.figure(cost) for cost in ("iterations", "calls", "model", "seconds")},
            }
        )
    return {"settings": dict(settings), "notes": list(notes), "rows": rows}


def as_markdown(found: Comparison, settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The whole report."""
    told = {**settings, "prompts": len(found.prompts)}
    parts = [INTRODUCTION.format(**told), "Prompts: " + "; ".join(found.prompts) + ".", *notes]
    answers = [text for part in (_most_diverse, _cost, _ddim, _steering, _ladder, _inversion) for text in part(found)]
    parts += ["## Answers", *answers] if answers else []
    parts += ["## Every row", _table(found)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def rivals(found: Comparison, name: str) -> list[str]:
    """The rows of other methods, ablations left out, that are as faithful as a row."""
    own = found.entries[name].row.method
    methods = [row.name for row in METHOD_ROWS if row.is_distillation and row.method != own]
    return faithful_rows(found, name, methods)


def most_diverse(found: Comparison, name: str, metric: str) -> Diversity | None:
    """Whether a row is more diverse than each of its rivals. None where it was not measured."""
    if name not in found.entries or metric not in found.metrics():
        return None
    return lead_in(found, name, rivals(found, name), metric)


def _most_diverse(found: Comparison) -> Iterator[str]:
    metrics = [metric for metric in ("diversity", "pixel_diversity") if metric in found.metrics()]
    names = [name for name in ("DSD", "DSD, grid 50") if name in found.entries]
    others = [row for row in METHOD_ROWS if row.is_distillation and row.method != "dsd" and row.name in found.entries]
    if not names or not others:
        return
    yield "### Is DSD the most diverse at equal fidelity?"
    if not set(FIDELITY) <= set(found.metrics()):
        yield "Fidelity was not measured (--clip), so this compares the diversity of all methods, whatever they show."
    for name in names:
        faithful = "; ".join(rivals(found, name)) or "no others"
        said = [f"* In {METRICS[metric][0]}: {lead_text(most_diverse(found, name, metric))}" for metric in metrics]
        yield "\n".join([f"{name}, beside those that are not less faithful for sure ({faithful}):", "", *said])


def _cost(found: Comparison) -> Iterator[str]:
    names = [name for name in ("SDS", "DSD", "DSD, grid 50", "DSD, as published") if name in found.entries]
    if "DSD" not in names or len(names) < 2:
        return
    yield "### What does DSD cost?"
    shown = [metric for metric in CHANGES if metric in found.metrics()]
    lines = [
        head(
            [
                "",
                "calls an iteration",
                "seconds an iteration",
                "seconds",
                *(f"DSD less it: {METRICS[m][0]}" for m in shown),
            ]
        )
    ]
    for name in names:
        entry = found.entries[name]
        cost = [f"{entry.each('calls'):.2f}", f"{entry.each('seconds'):.3f}", f"{entry.figure('seconds'):.1f}"]
        changes = [_change(found, "DSD", name, metric) if name != "DSD" else "" for metric in shown]
        lines.append(line([name, *cost, *changes]))
    yield "\n".join(lines)
    dsd, said = found.entries["DSD"], []
    for name in names:
        if name != "DSD":
            calls, seconds = (dsd.each(cost) / found.entries[name].each(cost) for cost in ("calls", "seconds"))
            said.append(f"{calls:.2f} times the calls and {seconds:.2f} times the time of {name}")
    yield f"An iteration of DSD costs {'; '.join(said)}."


def _ddim(found: Comparison) -> Iterator[str]:
    metrics = [metric for metric in ("to_ddim", "pixels_to_ddim") if metric in found.metrics()]
    names = [
        name for name, entry in found.entries.items() if entry.row.method == "dsd" and entry.row.steering.is_identity
    ]
    if not metrics or not names:
        return
    yield "### Does DSD end where DDIM does?"
    yield (
        "Distance to DDIM's picture of the same noise; last line: how far DDIM's pictures of different noises are from "
        "each other."
    )
    lines = [head(["", *(METRICS[metric][0] for metric in metrics)])]
    lines += [line([name, *(_figure(found, name, m) for m in metrics)]) for name in (*names, "DDIM, 10 steps")]
    apart = {"to_ddim": "diversity", "pixels_to_ddim": "pixel_diversity"}
    lines.append(line(["other noises", *(_figure(found, "DDIM", apart[metric]) for metric in metrics)]))
    yield "\n".join(lines)


def _steering(found: Comparison) -> Iterator[str]:
    yield from _changes(found, "What does steering do to DSD?", STEERING_CHANGES)
    said = []
    for name, other in STEERING_CHANGES:
        if name in found.entries and other in found.entries:
            changes = ", ".join(filter(None, (_word(found, name, other, metric) for metric in CHANGES)))
            said.append(f"* {name.removeprefix('DSD, ')}: {changes or 'nothing changes for sure'}.")
    if said:
        yield "\n".join(said)


def _word(found: Comparison, name: str, other: str, metric: str) -> str:
    words = {"yes": "more", "no": "less"}
    found_here = words.get(verdict(found.difference(name, other, metric)))
    return f"{found_here} {METRICS[metric][0]}" if found_here else ""


def _ladder(found: Comparison) -> Iterator[str]:
    yield from _changes(found, "From SDS to SDI, step by step", LADDER_CHANGES)


def _inversion(found: Comparison) -> Iterator[str]:
    yield from _changes(found, "How many steps of inversion does SDI need?", INVERSION_CHANGES)


def _changes(found: Comparison, title: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    present = [pair for pair in pairs if set(pair) <= set(found.entries)]
    if not present:
        return
    yield f"### {title}"
    metrics = [metric for metric in CHANGES if metric in found.metrics()]
    lines = [head(["", "less", *(METRICS[metric][0] for metric in metrics), "calls an iteration", "diverged"])]
    for name, other in present:
        entry = found.entries[name]
        cost = [f"{entry.each('calls'):.2f}", f"{1 - entry.finite.mean():.0%}"]
        lines.append(line([name, other, *(_change(found, name, other, metric) for metric in metrics), *cost]))
    yield "\n".join(lines)


def _change(found: Comparison, name: str, other: str, metric: str) -> str:
    return change_text(found, name, other, metric, DIGITS.get(metric, 3))


def _figure(found: Comparison, name: str, metric: str) -> str:
    return figure_text(found, name, metric, DIGITS.get(metric, 3))


def _table(found: Comparison) -> str:
    metrics = found.metrics()
    names = ["calls", "iterations", "calls each", "seconds each", "diverged"]
    lines = [head(["", *(METRICS[metric][0] for metric in metrics), *names])]
    for name, entry in found.entries.items():
        cost = [f"{entry.figure('calls'):.0f}", f"{entry.figure('iterations'):.0f}"]
        cost += [f"{entry.each('calls'):.2f}", f"{entry.each('seconds'):.3f}", f"{1 - entry.finite.mean():.0%}"]
        lines.append(line([name, *(_figure(found, name, metric) for metric in metrics), *cost]))
    return "\n".join(lines)

"""The report on the noises of views: the answer in words, the cosines, and a map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from psr_eval.inversion import Noises, flat_map, group_means, permutation_p
from psr_eval.paired import SIGNIFICANCE
from psr_eval.report_text import head, line, p_text, write_files
from psr_eval.toy_figures import write_png

EVEN = "noises without an even colour"
INTRODUCTION = """# Do the views of an object start from noises that are alike?

Views of {objects} objects of each of {kinds} kinds were rendered from {views} sides, and taken back to noise by
{steps} steps of DDIM under {said}. Prior: {prior}, {size}. The cosine of two noises is 1 where they are
the same and about 0 where they have nothing in common. All pairs are of different azimuths.
"""
CAUTION = """All views of an object have its sky and its lamps, beside its shape and colours, so a noise that follows
the background alone would count as alike, too; without an even colour, each channel of a noise has mean 0. "pictures"
are the cosines of the latents that the noises were made from: what is alike before the inversion."""


def write_report(
    noises: Noises, latents: Noises, channels: int, kinds: Sequence[str], settings: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Writes table.md, table.json and noises.png into a folder. channels: of a noise."""
    rows = {"noises": noises, EVEN: noises.without_means(channels), "pictures": latents}
    means = {name: group_means(row) for name, row in rows.items()}
    tests = {name: permutation_p(rows[name]) for name in ("noises", EVEN)}
    content = {"settings": dict(settings), "cosines": means, "p": tests}
    files = {
        "table.md": as_markdown(means, tests, settings).encode(),
        "table.json": (json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }
    paths = write_files(folder, files)
    write_map(noises, kinds, folder / "noises.png")
    return [*paths, folder / "noises.png"]


def as_markdown(
    means: Mapping[str, Mapping[str, float]], tests: Mapping[str, Mapping[str, float]], settings: Mapping[str, Any]
) -> str:
    """The whole report."""
    lines = [head(["mean cosine", "same object", "same kind", "other kinds"])]
    lines += [line([name, *(f"{value:.3f}" for value in row.values())]) for name, row in means.items()]
    said = [_answer(name, means[name], tests[name]) for name in tests]
    parts = [INTRODUCTION.format(**settings), "\n".join(said), "\n".join(lines), CAUTION]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _answer(name: str, mean: Mapping[str, float], p: Mapping[str, float]) -> str:
    """What the cosines of a row say of objects and of kinds."""
    pairs = (("object", "views of the same object", "views of other objects of its kind", "kind"),)
    pairs += (("kind", "objects of the same kind", "objects of other kinds", "others"),)
    said = []
    for one, near, far, other in pairs:
        word = "closer" if mean[one] > mean[other] else "not closer"
        figures = f"{mean[one]:.3f} and {mean[other]:.3f}; permutation test: {_p(p[one])}"
        said.append(f"* {name.capitalize()} of {near} are **{word}** than those of {far} ({figures}).")
    return "\n".join(said)


def _p(value: float) -> str:
    if np.isnan(value):
        return "nothing to exchange"
    return f"p {p_text(value, '= ')}" + ("" if value < SIGNIFICANCE else ", which may be chance")


def write_map(noises: Noises, kinds: Sequence[str], path: Path) -> None:
    """The noises in a plane: a colour for each kind, a mark for each object of it."""
    places, colours = flat_map(noises), colormaps["tab20"].colors  # type: ignore[attr-defined]
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes: Any = figure.subplots()
    for owner in np.unique(noises.objects):
        mine = noises.objects == owner
        kind = int(noises.kinds[mine][0])
        number = int(owner - noises.objects[noises.kinds == kind].min())
        label = kinds[kind] if number == 0 else None
        style = {"color": colours[kind % len(colours)], "marker": "osD^vP*X"[number % 8], "s": 22}
        axes.scatter(*places[mine].T, label=label, alpha=0.85, linewidths=0, **style)
    axes.set(xticks=[], yticks=[], title="inverted noises of views: colour for the kind, mark for the object")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    write_png(figure, path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value

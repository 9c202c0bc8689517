"""The table of steering on Gaussian mixtures, as JSON with every setting and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from psr_core.files import write_whole
from psr_core.mixtures import NamedMixture
from psr_eval.toy import ModeResult, Result

INTRODUCTION = """# Steering on Gaussian mixtures

Samples drawn with the exact noise prediction of each mixture, compared with the target p̄_k (same weights and means,
covariances divided by k). Per mode, in the order of the mixture's file (red, orange, blue in the figures):

* weight, as a share of all samples, and
* variance ratio: trace of the samples' covariance over that of the same mode of p̄_k. 1 is the target.

± is one standard error. A sample belongs to the mode most likely to have drawn it under p̄_k; the row "exact p̄_k", of
samples of the target itself, shows what this rule does where modes overlap. A dash stands for fewer than 10 samples.
Lost samples are not finite.

AR: temperature scaling, p(x)^k and then p(y|x)^k. NNS: DDPM with its injected noise divided by k. NES: DDIM with the
predicted noise multiplied by k at every level. From nearly pure noise that leaves an excess at k < 1, which every step
magnifies; at k > 1 few steps overshoot without bound and many collapse to one point. PSR: DDIM with σ as given, by the
plain step or by an integrator, or capped. Steps are network calls.
"""


def as_markdown(sources: Sequence[NamedMixture], results: Sequence[Result]) -> str:
    """The whole table: a section for each mixture, a part for each k."""
    parts = [INTRODUCTION]
    for source in sources:
        own = [result for result in results if result.settings["mixture"] == source.name]
        parts.append(f"## {source.name}\n\n{source.note}\n\n{_described(source, own)}\n")
        for k, group in groupby(own, key=lambda result: result.settings["target_k"]):
            parts.append(f"### {source.name}, k = {k:g}\n\n" + "\n".join(_lines(list(group))) + "\n")
    return "\n".join(parts)


def write_table(sources: Sequence[NamedMixture], results: Sequence[Result], folder: Path) -> list[Path]:
    """Write table.json and table.md into a folder, which is made; returns the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [asdict(result) for result in results]
    mixtures = [{"name": s.name, "note": s.note, "sigma": s.sigma} for s in sources]
    content = json.dumps({"mixtures": mixtures, "cells": cells}, indent=1, ensure_ascii=False, allow_nan=False)
    paths = [folder / "table.json", folder / "table.md"]
    for path, text in zip(paths, (content + "\n", as_markdown(sources, results)), strict=True):
        write_whole(path, text.encode())
    return paths


def _described(source: NamedMixture, results: Sequence[Result]) -> str:
    weights = ", ".join(f"{weight:.4g}" for weight in source.mixture.weights.tolist())
    counts = sorted({(result.settings["n"], result.settings["seed"]) for result in results})
    drawn = "; ".join(f"n = {n}, seed {seed}" for n, seed in counts)
    return f"σ = {source.sigma:.4g}, weights {weights}; {drawn}, cosine levels."


def _lines(results: Sequence[Result]) -> Iterator[str]:
    modes = range(1, len(results[0].modes) + 1)
    header = [
        "method",
        "steps",
        *(f"weight {i}" for i in modes),
        *(f"variance ratio {i}" for i in modes),
        "lost",
    ]
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for result in results:
        steps = str(result.settings["steps"] or "")
        weights = [f"{mode.weight:.4f} ± {mode.weight_error:.4f}" for mode in result.modes]
        ratios = [ratio_text(mode) for mode in result.modes]
        yield f"| {' | '.join([result.settings['method'], steps, *weights, *ratios, str(result.lost)])} |"


def ratio_text(mode: ModeResult) -> str:
    """Variance ratio with its standard error, for people."""
    if mode.trace_ratio is None or mode.trace_ratio_error is None:
        return "–"
    if mode.trace_ratio >= 1000:
        return f"{mode.trace_ratio:.1e} ± {mode.trace_ratio_error:.0e}"
    return f"{mode.trace_ratio:.3f} ± {mode.trace_ratio_error:.3f}"

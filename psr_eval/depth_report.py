"""What `psr reproduce depth` found, as JSON, Markdown, a heat map and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from psr_eval.depth_comparison import REACHES, THESIS, Answer, Comparison, Result
from psr_eval.depth_rows import Row
from psr_eval.paired import Difference
from psr_eval.report_text import head, line, p_text, write_files
from psr_eval.steering_heatmap import heatmap, points

HALVES = "images at positions 0, 2, 4, ... choose, those at positions 1, 3, 5, ... judge"
DIGITS = 2  # of a percentage: the thesis' table has as many
VERDICTS = {"yes": "yes", "no": "no", "open": "not told by these images"}


def write_report(
    comparison: Comparison, settings: Mapping[str, Any], pictures: bytes, folder: Path, warnings: Sequence[str] = ()
) -> list[Path]:
    """Write table.json, table.md, pictures.png and, where there is a grid, heatmap.png; returns the paths.

    settings: what decides the figures, plain values, with data, images, num_inference_steps and seed among them.
    warnings: what the reader of a row has to know. A heat map of an earlier report is removed.
    """
    content = json.dumps(as_dict(comparison, settings, warnings), indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "table.json": f"{content}\n".encode(),
        "table.md": as_markdown(comparison, settings, warnings).encode(),
        "pictures.png": pictures,
    }
    if (picture := k_sigma(comparison, settings)) is not None:
        files["heatmap.png"] = picture
    return write_files(folder, files, optional=["heatmap.png"])


def k_sigma(comparison: Comparison, settings: Mapping[str, Any]) -> bytes | None:
    """The rows of the baseline's ensemble size over (k, σ), as figure A.2 has them."""
    base = comparison.baseline
    found = {
        each.row: each.difference
        for each in comparison.results
        if each.difference is not None and each.row.ensemble == base.ensemble
    }
    title = f"{settings['data']}: AbsRel below that of {base.name} on {comparison.images} images (blue is better)"
    return heatmap(found, title, "AbsRel lower by, percentage points", DIGITS)


def as_dict(comparison: Comparison, settings: Mapping[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """Everything as plain values; metrics and differences as they are, not in percent."""
    rows = [{**asdict(each), "row": _named(each.row)} for each in comparison.results]
    answers = [
        {
            **asdict(each),
            **{name: value.name for name, value in (("row", each.row), ("reference", each.reference))},
            "candidates": [row.name for row in each.candidates],
            "verdict": each.verdict,
            "text": sentence(each, comparison),
        }
        for each in comparison.answers
    ]
    return {
        "settings": dict(settings),
        "images": comparison.images,
        "halves": HALVES,
        "answers": answers,
        "warnings": list(warnings),
        "rows": rows,
    }


def _named(row: Row) -> dict[str, Any]:
    return {"name": row.name, **asdict(row)}


def sentence(answer: Answer, comparison: Comparison) -> str:
    """A question and its answer; it claims no more than the judged images show."""
    found, reference = answer.difference, answer.reference
    if len(answer.candidates) == 1:
        steering = answer.row.steering
        which = f"k = {steering.k:g}, σ = {steering.sigma:g}" + " (the thesis' setting)" * (steering == THESIS)
        where = f"over all {answer.images} images"
    else:
        which = f"the best of {len(answer.candidates)} settings"
        where = f"{answer.row.name}, chosen on the other half of the images; over the {answer.images} held out"
    verb = "reach" if answer.question == REACHES else "beat"
    against = f"{reference.sampler.upper()} at ensemble {reference.ensemble}"
    text = (
        f"Does PSR with {which} at ensemble {answer.row.ensemble} {verb} {against}? "
        f"{VERDICTS[answer.verdict].capitalize()}: {where}, AbsRel is {abs(100 * found.mean):.{DIGITS}f} points "
        f"{'higher' if found.mean < 0 else 'lower'} (95 % interval of the gain {_interval(found)}, p "
        f"{p_text(found.p, '= ')}; better on {found.better} images, worse on {found.worse})."
    )
    if answer.question == REACHES:
        brought = comparison.result(reference).difference
        if brought is not None:
            text += f" What that ensemble itself brings over {comparison.baseline.name}: {_change(brought)}."
    return text


def as_markdown(comparison: Comparison, settings: Mapping[str, Any], warnings: Sequence[str] = ()) -> str:
    """The whole report as text."""
    base = comparison.baseline.name
    parts = [
        f"# Steering a depth model: {settings['data']}",
        "\n".join(f"* {sentence(answer, comparison)}" for answer in comparison.answers)
        or "No question is answered: there is no PSR row beside one of the same ensemble without steering.",
        f"{comparison.images} of {settings['images_there']} images, {settings['num_inference_steps']} network calls a "
        f"member, processing resolution {settings['processing_resolution']} (0 is the image's own), noise seed "
        f"{settings['seed']}, {settings['dtype']} on {settings['device']}; all of them, and the noise, the same for "
        "every setting.",
        "## All images",
        "\n".join(_rows(comparison, settings["num_inference_steps"])),
        "\n".join(
            [
                f"* AbsRel, δ1 and their differences in percent. Differences are to {base}; positive is better. "
                "[95 %]: bootstrap over images. Each estimate is aligned to the truth by least squares, as Marigold's "
                "evaluation does.",
                "* p: exact sign-flip test of AbsRel over images, not corrected for the number of rows: the best row "
                "of this table looks better than it is. What is chosen above from several settings is chosen on one "
                f"half ({HALVES}).",
                "* Images of one scene are alike: intervals and tests take them as independent, and the two halves "
                "share scenes where the data set has several images of each. Nothing here says how other data or "
                "checkpoints would do.",
                *(f"* {warning}" for warning in warnings),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(comparison: Comparison, steps: int) -> Iterator[str]:
    heading = ["setting", "network calls", "AbsRel ↓ [95 %]", "δ1 ↑ [95 %]", "RMSE ↓, m", "AbsRel better by [95 %]"]
    heading += ["p", "images better, worse", "δ1 better by [95 %]"]
    yield head(heading)
    for each in comparison.results:
        yield line([each.row.name, str(steps * each.row.ensemble), *_cells(each)])


def _cells(result: Result) -> list[str]:
    metrics, found, delta1 = result.metrics, result.difference, result.delta1_difference
    cells = [_mean(metrics.abs_rel, result.abs_rel95), _mean(metrics.delta1, result.delta1_95), f"{metrics.rmse:.3f}"]
    if found is None or delta1 is None:
        return [*cells, "–", "–", "–", "–"]
    return [*cells, _change(found), p_text(found.p), f"{found.better}, {found.worse}", _change(delta1)]


def _mean(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.{DIGITS}f} [{100 * interval[0]:.{DIGITS}f}, {100 * interval[1]:.{DIGITS}f}]"


def _change(found: Difference) -> str:
    return f"{points(found.mean, DIGITS)} [{_interval(found)}]"


def _interval(found: Difference) -> str:
    return f"{points(found.low, DIGITS)} to {points(found.high, DIGITS)}"

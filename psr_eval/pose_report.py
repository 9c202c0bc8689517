"""What `psr reproduce pose` found, as JSON, Markdown and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from psr_eval.paired import Estimate
from psr_eval.pose_comparison import THRESHOLDS, Answer, Change, Comparison, Scores
from psr_eval.pose_figures import sweep
from psr_eval.pose_rows import Row
from psr_eval.report_text import head, line, p_text, write_files
from psr_eval.steering_heatmap import points

HALVES = "images at positions 0, 2, 4, ... choose, those at positions 1, 3, 5, ... judge"
VERDICTS = {"yes": "yes", "no": "no", "open": "not told by these images"}


def write_report(comparison: Comparison, settings: Mapping[str, Any], spheres: bytes, folder: Path) -> list[Path]:
    """Write table.json, table.md, shapes.md, spheres.png and, where k is swept, sweep.png; returns the paths.

    settings: what decides the figures, plain values, with checkpoint, shapes, samples and seed among them. A picture of
    an earlier report is removed.
    """
    content = json.dumps(as_dict(comparison, settings), indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "table.json": f"{content}\n".encode(),
        "table.md": as_markdown(comparison, settings).encode(),
        "shapes.md": shapes_as_markdown(comparison, settings).encode(),
        "spheres.png": spheres,
    }
    if (picture := sweep(comparison)) is not None:
        files["sweep.png"] = picture
    return write_files(folder, files, optional=["sweep.png"])


def as_dict(comparison: Comparison, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain values: errors in degrees, accuracies and relative changes as shares."""
    answers = [
        {
            **asdict(each),
            "row": each.row.name,
            "candidates": [row.name for row in each.candidates],
            "verdict": each.verdict,
            "text": sentence(each, comparison.baseline),
        }
        for each in comparison.answers
    ]
    return {
        "settings": dict(settings),
        "images": comparison.images,
        "samples": comparison.samples,
        "thresholds_degrees": list(THRESHOLDS),
        "halves": HALVES,
        "answers": answers,
        "rows": [{**asdict(each), "row": {"name": each.row.name, **asdict(each.row)}} for each in comparison.results],
    }


def sentence(answer: Answer, baseline: Row) -> str:
    """A question and its answer; it claims no more than the judged images show."""
    found, row = answer.change.degrees, answer.row
    if len(answer.candidates) == 1:
        asked, where = f"{row.name} (the thesis' k and σ)", f"over all {answer.images} images"
    else:
        asked = f"the best of {len(answer.candidates)} PSR settings of {row.steps} steps"
        where = f"{row.name}, chosen on the other half of the images; over the {answer.images} held out"
    relative = answer.change.relative
    return (
        f"Does {asked} beat {baseline.name}? {VERDICTS[answer.verdict].capitalize()}: {where}, the mean error is "
        f"{abs(100 * relative.mean):.1f} % {'higher' if found.mean < 0 else 'lower'} (95 % interval of the gain "
        f"{points(relative.low)} to {points(relative.high)} %, p {p_text(found.p, '= ')}; better on {found.better} "
        f"images, worse on {found.worse})."
    )


def as_markdown(comparison: Comparison, settings: Mapping[str, Any]) -> str:
    """The report as text, but for single shapes."""
    base = comparison.baseline.name
    parts = [
        f"# Steering a rotation network: {settings['checkpoint']}",
        "\n".join(f"* {sentence(answer, comparison.baseline)}" for answer in comparison.answers)
        or "No question is answered: there is no row of PSR.",
        f"{comparison.images} images of {', '.join(settings['shapes'])}, {comparison.samples} sample(s) of each, noise "
        f"seed {settings['seed']}; images, initial rotations and noise are the same for every setting.",
        "## Mean error",
        "\n".join(_errors(comparison)),
        "## Accuracy",
        "Percentage of samples within so many degrees of the truth.",
        "\n".join(_table(comparison, lambda each: each.scores)),
        "\n".join(
            [
                "* Errors are angles to the nearest rotation that looks like the truth. [95 %]: bootstrap over images.",
                "* lower by: paired, of the mean error; positive is better. p, and on how many images it is better or "
                "worse, belong to the difference before them.",
                "* p: sign-flip test over images by 10,000 random assignments of signs, not corrected for the number "
                "of rows: the best row of this table looks better than it is. What is chosen above from several "
                f"settings is chosen on one half ({HALVES}).",
                f"* eta is 1 (ancestral) where nothing else is said. The baseline of the last column is {base}.",
                "* Nothing here says how other networks or images would do.",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def shapes_as_markdown(comparison: Comparison, settings: Mapping[str, Any]) -> str:
    """Mean error and accuracy of each setting on each shape."""
    parts = [
        f"# {settings['checkpoint']}, shape by shape",
        "Percentage of samples within so many degrees of the truth.",
    ]
    for shape, scores in comparison.results[0].shapes.items():
        parts.append(f"## {shape}, {scores.images} images")
        parts.append("\n".join(_table(comparison, lambda each, shape=shape: each.shapes[shape], error=True)))
    return "\n\n".join(parts) + "\n"


def _errors(comparison: Comparison) -> Iterator[str]:
    same, base = "lower than the same unsteered by, % [95 %]", f"lower than {comparison.baseline.name} by, % [95 %]"
    yield head(["setting", "mean error, degrees [95 %]", "median", same, "p", "images better, worse", base, "p"])
    for each in comparison.results:
        cells = [each.row.name, _degrees(each.scores.error), f"{each.scores.median:.3f}"]
        yield line([*cells, *_change(each.steered, counts=True), *_change(each.to_baseline)])


def _change(change: Change | None, counts: bool = False) -> list[str]:
    if change is None:
        return ["–"] * (2 + counts)
    relative, found = change.relative, change.degrees
    cells = [f"{points(relative.mean)} [{points(relative.low)} to {points(relative.high)}]", p_text(found.p)]
    return [*cells, f"{found.better}, {found.worse}"] if counts else cells


def _table(comparison: Comparison, scores: Any, error: bool = False) -> Iterator[str]:
    yield head(["setting", *["mean error, degrees [95 %]"] * error, *(f"{threshold:g}°" for threshold in THRESHOLDS)])
    for each in comparison.results:
        found: Scores = scores(each)
        accuracy = [_percent(share) for share in found.accuracy]
        yield line([each.row.name, *[_degrees(found.error)] * error, *accuracy])


def _degrees(found: Estimate) -> str:
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _percent(found: Estimate) -> str:
    return f"{100 * found.mean:.2f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def shown_rows(comparison: Comparison) -> Sequence[Row]:
    """For pictures: the baseline, and what the questions at its number of steps are about."""
    steps = comparison.baseline.steps
    asked = [answer.row for answer in comparison.answers if answer.row.steps == steps]
    return list(dict.fromkeys([comparison.baseline, *asked]))

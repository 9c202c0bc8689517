"""What `psr reproduce policy` found, as JSON, Markdown, a heat map and a parameter file for the policy node."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from psr_core.files import write_whole
from psr_eval.policy_comparison import Choice, Comparison, Difference, Result
from psr_eval.policy_heatmap import heatmap, points
from psr_eval.policy_rows import Row

SCORES = {"success": "success", "max_reward": "largest reward of an episode"}
HALVES = "positions 0, 2, 4, ... of the seeds choose, positions 1, 3, 5, ... confirm"


def write_report(comparison: Comparison, settings: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write table.json, table.md, confirmed.yaml and, where there is a grid, heatmap.png; returns the paths.

    settings: task, checkpoints (their ids), first_seed, noise_seed, num_inference_steps and whatever else decides the
    episodes, plain values. A heat map of an earlier report is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(as_dict(comparison, settings), indent=1, ensure_ascii=False, allow_nan=False)
    files = {
        "table.json": f"{content}\n".encode(),
        "table.md": as_markdown(comparison, settings).encode(),
        "confirmed.yaml": parameter_file(comparison, settings).encode(),
    }
    (folder / "heatmap.png").unlink(missing_ok=True)
    title = f"{settings['task']}, {SCORES[comparison.score]}: steered minus unsteered, {comparison.states} states"
    if (picture := heatmap(comparison, title)) is not None:
        files["heatmap.png"] = picture
    for name, data in files.items():
        write_whole(folder / name, data)
    return [folder / name for name in files]


def as_dict(comparison: Comparison, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain values; scores and differences as they are, not in percent."""

    def plain(entry: Result | Choice) -> dict[str, Any]:
        found = asdict(entry)
        found |= {name: value.name for name, value in vars(entry).items() if isinstance(value, Row)}
        return found

    rows = [
        {**plain(result), "row": {"name": result.row.name, **asdict(result.row)}, "spread": result.spread}
        for result in comparison.results
    ]
    choices = [{**plain(choice), "verdict": choice.verdict} for choice in (*comparison.families, comparison.overall)]
    return {
        "settings": dict(settings),
        "score": comparison.score,
        "states": comparison.states,
        "halves": HALVES,
        "conclusion": conclusion(comparison),
        "confirmed": comparison.overall.confirmed.name,
        "rows": rows,
        "choices": choices,
    }


def conclusion(comparison: Comparison) -> str:
    """One sentence on the choice among all rows; it claims no more than the held-out half shows."""
    choice = comparison.overall
    held_out, base = choice.held_out, choice.baseline.name
    if held_out is None:
        return f"No gain: on the selection half no setting scored above {base}, so there was nothing to confirm."
    states = comparison.states // 2
    size = f"{abs(100 * held_out.mean):.1f} points (95 % interval of the difference {_interval(held_out)}, "
    size += (
        f"p {_p(held_out.p, '= ')}) {'below' if held_out.mean < 0 else 'above'} {base} on the {states} held-out states"
    )
    if choice.verdict == "gain":
        return f"Gain confirmed: {choice.chosen.name}, chosen on the selection half, scored {size}."
    if choice.verdict == "loss":
        return f"Loss: {choice.chosen.name}, the best on the selection half, scored {size}."
    return (
        f"No gain confirmed: {choice.chosen.name}, the best on the selection half, scored {size}, which chance alone "
        "can explain."
    )


def as_markdown(comparison: Comparison, settings: Mapping[str, Any]) -> str:
    """The whole report as text."""
    parts = [
        f"# Steering the policy: {settings['task']}",
        conclusion(comparison),
        f"{len(settings['checkpoints'])} checkpoint(s): {', '.join(settings['checkpoints'])}. {comparison.states} "
        f"initial states from seed {settings['first_seed']} on, {settings['num_inference_steps']} network calls a "
        f"chunk, noise seed {settings['noise_seed']}; all of them the same for every setting. Score: 100 x "
        f"{SCORES[comparison.score]}, mean over episodes ± standard deviation over checkpoints. Differences are in "
        "points of the score, to the same sampler without steering.",
        "## All initial states",
        "\n".join(_rows(comparison)),
        "## The best setting",
        "Whoever tries many settings finds a best one by chance, too. Left: best on all states and measured on the "
        "same, as the thesis' table 1.4 does. Right: chosen on one half of the states (even positions), then measured "
        "on the other. Differences are to the same sampler without steering; for all settings to "
        f"{comparison.overall.baseline.name}.",
        "\n".join(_choices(comparison)),
        "\n".join(_notes(comparison)),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(comparison: Comparison) -> Iterator[str]:
    by_success = comparison.score == "success"
    tests = ["McNemar p"] if by_success else ["p", "McNemar p of success"]
    heading = ["setting", "success [Wilson 95 %]", "mean max reward", "score", "difference [95 %]", "better, worse"]
    yield from _head([*heading, *tests])
    for result in comparison.results:
        low, high = result.wilson95
        success = f"{result.successes}/{result.episodes} = {result.successes / result.episodes:.1%} "
        success += f"[{low:.1%}, {high:.1%}]"
        found = result.difference
        change = [_change(found), f"{found.better}, {found.worse}"] if found else ["–", "–"]
        ps = [_p(result.success_p)] if by_success else [_p(found.p if found else None), _p(result.success_p)]
        yield _line([result.row.name, success, f"{result.max_reward:.3f}", _score(result), *change, *ps])


def _choices(comparison: Comparison) -> Iterator[str]:
    best = ["best on all states", "score", "difference [95 %]", "p"]
    chosen = ["chosen on the selection half", "difference there", "difference on the held-out half [95 %]", "p"]
    yield from _head(["among", *best, *chosen])
    for choice in (*comparison.families, comparison.overall):
        flattered, held_out = choice.best_difference, choice.held_out
        cells = [choice.best.name, _score(comparison.result(choice.best)), _change(flattered), _p_of(flattered)]
        cells += [choice.chosen.name, points(choice.selection_gain), _change(held_out), _p_of(held_out)]
        yield _line([choice.name, *cells])


def _notes(comparison: Comparison) -> Iterator[str]:
    yield "* Intervals of differences: bootstrap over initial states, each with all its checkpoints."
    test = "exact sign-flip test over initial states"
    yield f"* p: {test}, which for successes on one checkpoint is McNemar's. No p is corrected for the number of rows."
    if len(comparison.results[0].scores) > 1:
        yield (
            "* Wilson's interval takes every episode as independent. Those of several checkpoints from one state are "
            "not quite, so it is somewhat too narrow. Nothing here says how other checkpoints would do."
        )
    for result in comparison.results:
        if result.refused:
            yield f"* {result.row.name}: {result.refused} episodes ended early, as the policy asked for the impossible."


def parameter_file(comparison: Comparison, settings: Mapping[str, Any]) -> str:
    """ROS parameters for the policy node: the setting that was confirmed, or the baseline."""
    row = comparison.overall.confirmed
    calls = settings["num_inference_steps"]
    steering = row.steering.to_dict()
    parameters = {f"steering.{name}": value for name, value in steering.items()}
    values = {**steering, "sampler": row.sampler, "num_inference_steps": calls}
    words = [f"{name}:={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
    comments = [
        f"{settings['task']}, {', '.join(settings['checkpoints'])}. {conclusion(comparison)}",
        f"This file holds {row.name}{', the baseline' * (row == comparison.overall.baseline)}. The same by arguments:",
    ]
    header = [line for text in comments for line in textwrap.wrap(text, 118, break_long_words=False)]
    header.append(f"psr up sim {' '.join(words)}")
    content = {"/policy": {"ros__parameters": {"sampler": row.sampler, "num_inference_steps": calls, **parameters}}}
    text: str = yaml.safe_dump(content, sort_keys=False)
    return "".join(f"# {line}\n" for line in header) + text


def _score(result: Result) -> str:
    spread = "–" if result.spread is None else f"{100 * result.spread:.1f}"
    return f"{100 * result.score:.1f} ± {spread}"


def _change(found: Difference | None) -> str:
    return f"{points(found.mean)} [{_interval(found)}]" if found else "–"


def _interval(found: Difference) -> str:
    return f"{points(found.low)} to {points(found.high)}"


def _p_of(found: Difference | None) -> str:
    return _p(found.p if found else None)


def _p(value: float | None, sign: str = "") -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{sign}{value:.3f}"


def _head(names: Sequence[str]) -> Iterator[str]:
    yield _line(names)
    yield "|" + "---|" * len(names)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

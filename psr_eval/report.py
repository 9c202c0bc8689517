"""The report of some bags: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from string import Template

from psr_eval import charts, depth_views, pose_views
from psr_eval.environment import environment
from psr_eval.episodes import BagContents
from psr_eval.html import section, table
from psr_eval.pose_track import find_track
from psr_eval.score_table import by_kind, milliseconds, percent
from psr_eval.scores import Comparison, Group, Scores, read_bags, score
from psr_eval.steering_changes import SteeringChange, steering_changes
from psr_eval.video import film_html

_TEMPLATE = Path(__file__).with_name("report.html")
_STILLS = 6
_ALPHA = 0.05  # below it, a difference is called one


def write_report(bag_dirs: Iterable[Path | str], out_html: Path, video: Path | None = None) -> Path:
    """Read bags and write their report; returns `out_html`.

    video: an MP4 to be embedded, as write_video makes it; without one the report says that nothing was filmed.
    Raises FileNotFoundError and ValueError as read_contents does.
    """
    bags, repeats = read_bags(bag_dirs)
    scores = score(bags)
    scores.notes[:0] = repeats
    out_html.parent.mkdir(parents=True, exist_ok=True)
    out_html.write_text(render(bags, scores, video), encoding="utf-8")
    return out_html


def render(bags: Sequence[BagContents], scores: Scores, video: Path | None = None, further: Sequence[str] = ()) -> str:
    """The page as text. further: sections about what is in no bag, as psr_eval.html.section makes them."""
    changes = [change for bag in bags for change in steering_changes(bag)]
    tasks = sorted({group.setting.task for group in scores.groups})
    title = f"Steering report: {', '.join(tasks)}" if tasks else "Steering report"
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    sections = (
        _success(scores),
        _compared(scores.comparisons),
        _film(video),
        _depth(bags),
        _rotation(bags),
        *further,
        _latencies(scores),
        _turns(changes),
        _notes(scores.notes),
        _environment(bags),
        _episodes(scores),
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        subtitle=escape(f"{', '.join(_short(bag.path) for bag in bags)} · written {now}"),
        cards=_cards(scores, changes),
        sections="\n".join(filter(None, sections)),
    )


def _cards(scores: Scores, changes: Sequence[SteeringChange]) -> str:
    proven = sum(change.ok is True for change in changes)
    cards = [
        (str(sum(group.n for group in scores.groups)), "episodes counted"),
        (str(len(scores.groups)), "settings"),
        (str(sum(group.aborted for group in scores.groups)), "aborted, not counted"),
        (str(len(scores.incomplete)), "cut off, not counted"),
        (f"{proven} of {len(changes)}", "turns of the dial proven"),
    ]
    return "".join(f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in cards)


def _success(scores: Scores) -> str:
    if not scores.groups:
        return section("Success by setting", "<p>No finished episode was found.</p>")
    axis = '<div>success rate, Wilson 95 % interval</div><div class="axis-labels"><i>0</i><i>50 %</i><i>100 %</i></div>'
    head = (
        f'<tr><th>steering</th><th class="chart">{axis}</th><th class="number">rate</th><th>95 % interval</th>'
        '<th class="number">succeeded</th><th class="number">steps to success<br>mean / median</th>'
        '<th class="number">aborted</th><th class="number">deadlines<br>missed</th></tr>'
    )
    tables = (
        f"<h3>{escape(label)}</h3>{table(head, map(_success_row, groups), 'scores')}"
        for label, groups in by_kind(scores)
    )
    explanation = (
        '<p class="soft">Blue settings sharpen (k &gt; 1), orange ones flatten (k &lt; 1), grey ones leave the model '
        "as trained or mix. Aborted and cut-off episodes are neither success nor failure.</p>"
    )
    return section("Success by setting", explanation + "".join(tables))


def _success_row(group: Group) -> str:
    interval = f"{percent(group.low)} to {percent(group.high)}" if group.n else "–"
    label = f"{group.setting.label()}: {percent(group.rate)}, {interval}"
    steps = "–" if group.steps_mean is None else f"{group.steps_mean:.1f} / {group.steps_median:g}"
    kind = _tone(group)
    return (
        f'<tr>{_name(group)}<td class="chart">{charts.interval(group.rate, group.low, group.high, kind, label)}</td>'
        f'<td class="number"><b>{percent(group.rate)}</b></td><td>{interval}</td>'
        f'<td class="number">{group.successes} of {group.n}</td><td class="number">{steps}</td>'
        f'<td class="number">{group.aborted}</td><td class="number">{group.deadline_misses}</td></tr>'
    )


def _compared(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    head = (
        '<tr><th>setting</th><th>against</th><th class="number">seeds</th><th class="number">difference</th>'
        '<th>95 % interval</th><th class="number">only setting<br>succeeds</th>'
        '<th class="number">only reference<br>succeeds</th><th class="number">p</th><th>verdict</th></tr>'
    )
    explanation = (
        '<p class="soft">Both settings started from the same initial states, seed by seed. p: exact McNemar test, '
        "two-sided, not corrected for the number of comparisons. Interval: bootstrap over seeds.</p>"
    )
    return section("Same seeds, other setting", explanation + table(head, map(_comparison_row, comparisons)))


def _comparison_row(one: Comparison) -> str:
    names = [one.setting.label(), one.reference.label()]
    if one.setting.kind != one.reference.kind:
        names = [f"{setting.label()} ({setting.kind_label()})" for setting in (one.setting, one.reference)]
    shown = one.p_value < _ALPHA
    verdict = ("better" if one.difference > 0 else "worse") if shown else "no difference shown"
    kind = {"better": "good", "worse": "bad"}.get(verdict, "soft")
    return (
        f"<tr><td>{escape(names[0])}</td><td>{escape(names[1])}</td>"
        f'<td class="number">{one.pairs}</td><td class="number"><b>{one.difference:+.1%}</b></td>'
        f'<td>{one.low:+.1%} to {one.high:+.1%}</td><td class="number">{one.only_setting}</td>'
        f'<td class="number">{one.only_reference}</td><td class="number">{one.p_value:.2g}</td>'
        f'<td class="{kind}">{verdict}</td></tr>'
    )


def _film(video: Path | None) -> str:
    if video is None:
        return section(
            "Film", '<p class="soft">No camera images were recorded (recorder parameter camera_episodes).</p>'
        )
    return section("Film", film_html(video, "The first filmed episode, at the speed of the robot.", _STILLS))


def _depth(bags: Sequence[BagContents]) -> str:
    views = depth_views.find_views(bags)
    return section("Depth from the camera", depth_views.as_html(views)) if views else ""


def _rotation(bags: Sequence[BagContents]) -> str:
    track = find_track(bags)
    return section("Rotation from the camera", pose_views.as_html(track)) if track else ""


def _latencies(scores: Scores) -> str:
    values = {
        group.setting: [
            latency
            for one in scores.episodes
            if one.setting == group.setting and one.outcome != "aborted"
            for latency in one.latencies
        ]
        for group in scores.groups
    }
    top = max((latency for latencies in values.values() for latency in latencies), default=0.0)
    if not top:
        return section("Latency of the policy", '<p class="soft">No chunk of a counted episode was recorded.</p>')
    axis = f'<div class="axis-labels"><i>0</i><i>{milliseconds(top / 2)}</i><i>{milliseconds(top)}</i></div>'
    head = (
        f'<tr><th>steering</th><th class="chart" style="width:52%">{axis}</th><th class="number">chunks</th>'
        '<th class="number">median</th><th class="number">95 %</th><th class="number">longest</th></tr>'
    )
    rows = (_latency_row(group, values[group.setting], top) for group in scores.groups if values[group.setting])
    explanation = (
        '<p class="soft">From the arrival of the last observation to the publication of the chunk, over all chunks of '
        "counted episodes.</p>"
    )
    return section("Latency of the policy", explanation + table(head, rows))


def _latency_row(group: Group, latencies: Sequence[float], top: float) -> str:
    label = f"latency of {group.setting.label()}"
    return (
        f'<tr>{_name(group)}<td class="chart">{charts.histogram(latencies, top, _tone(group), label)}</td>'
        f'<td class="number">{len(latencies)}</td><td class="number">{milliseconds(group.latency_p50)}</td>'
        f'<td class="number">{milliseconds(group.latency_p95)}</td>'
        f'<td class="number">{milliseconds(max(latencies))}</td></tr>'
    )


def _turns(changes: Sequence[SteeringChange]) -> str:
    if not changes:
        return section("Turns of the dial", '<p class="soft">No steering parameter changed while recording.</p>')
    verdicts = {
        True: '<td class="good">✓ carries the value</td>',
        False: '<td class="bad">✗ carries another value</td>',
        None: '<td class="soft">– not shown</td>',
    }
    rows = (
        f"<tr><td>{escape(_short(change.bag))}</td><td>{escape(change.node)}</td><td>{escape(change.parameter)}</td>"
        f'<td class="number">{escape(str(change.value))}</td><td>{_clock(change.time)}</td>'
        f'<td class="number">{"–" if change.chunk is None else change.chunk}</td>'
        f'<td class="number">{"–" if change.delay is None else f"{change.delay:.3f} s"}</td>{verdicts[change.ok]}</tr>'
        for change in changes
    )
    head = (
        '<tr><th>bag</th><th>node</th><th>parameter</th><th class="number">value</th><th>set at (UTC)</th>'
        '<th class="number">first chunk<br>sampled after</th><th class="number">later by</th><th>that chunk</th></tr>'
    )
    explanation = (
        '<p class="soft">Every change of a steering parameter while the policy ran, and whether the first chunk '
        "sampled after it says that it was drawn under the new value.</p>"
    )
    return section("Turns of the dial", explanation + table(head, rows))


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return section("To be known", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>")


def _environment(bags: Sequence[BagContents]) -> str:
    recorded: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for bag in bags:
        recorded.setdefault(tuple(bag.custom_data.items()), []).append(_short(bag.path))
    blocks = [
        f"<h3>recorded on ({escape(', '.join(names))})</h3>{_facts(dict(facts))}"
        for facts, names in recorded.items()
        if facts
    ]
    if environment() not in map(dict, recorded):
        blocks.append(f"<h3>this report was written on</h3>{_facts(environment())}")
    return section("Environment", "".join(blocks))


def _facts(facts: dict[str, str]) -> str:
    lines = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{"".join(lines)}</dl>'


def _episodes(scores: Scores) -> str:
    head = (
        '<tr><th>bag</th><th class="number">seed</th><th>steering</th><th>outcome</th><th class="number">steps</th>'
        '<th class="number">reward</th><th class="number">chunks</th><th class="number">mean latency</th>'
        '<th class="number">missed</th><th>reason</th></tr>'
    )
    kinds = {"success": "good", "failure": "bad", "aborted": "soft"}
    rows = (
        f'<tr><td>{escape(_short(one.bag))}</td><td class="number">{one.seed}</td>'
        f"<td>{escape(one.setting.label())}</td>"
        f'<td class="{kinds[one.outcome]}">{one.outcome}</td><td class="number">{one.steps}</td>'
        f'<td class="number">{one.max_reward:g}</td><td class="number">{one.chunks}</td>'
        f'<td class="number">{milliseconds(sum(one.latencies) / len(one.latencies) if one.latencies else None)}</td>'
        f'<td class="number">{one.deadline_misses}</td><td class="wrap">{escape(one.reason)}</td></tr>'
        for one in scores.episodes
    )
    listed = table(head, rows, "episodes")
    return f"<section><details><summary>Every episode ({len(scores.episodes)})</summary>{listed}</details></section>"


def _name(group: Group) -> str:
    return f'<td><span class="name {_tone(group)}">{escape(group.setting.label())}</span></td>'


def _tone(group: Group) -> str:
    return "plain" if group.setting.mixed_steering else charts.tone(group.setting.steering)


def _short(bag: Path) -> str:
    """The bag's folder and the one around it, as many bags are called the same."""
    return "/".join(bag.resolve().parts[-2:])


def _clock(time: int) -> str:
    return datetime.fromtimestamp(time / 1e9, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

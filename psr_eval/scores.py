"""Success rates by setting, with intervals, and comparisons of settings on the same seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from psr_core.statistics import mcnemar_exact, paired_bootstrap, wilson_interval
from psr_eval.episodes import BagContents, Episode, Incomplete, Setting, read_contents


@dataclass(frozen=True)
class Group:
    """The episodes of one setting. Aborted ones are in no number but `aborted`; latencies in seconds."""

    setting: Setting
    n: int  # successes and failures
    successes: int
    aborted: int
    low: float  # Wilson 95 % interval of the success rate
    high: float
    steps_mean: float | None  # of successful episodes
    steps_median: float | None
    latency_p50: float | None
    latency_p95: float | None
    deadline_misses: int
    late_rows: int
    seeds: tuple[int, ...]

    @property
    def rate(self) -> float | None:
        """Success rate, None without a counted episode."""
        return self.successes / self.n if self.n else None


@dataclass(frozen=True)
class Comparison:
    """Two settings on the seeds that both ran; `difference` is the rate of `setting` minus that of `reference`."""

    reference: Setting
    setting: Setting
    pairs: int
    both: int
    only_reference: int
    only_setting: int
    neither: int
    p_value: float  # exact McNemar, two-sided
    difference: float
    low: float  # bootstrap 95 % interval over pairs
    high: float


@dataclass
class Scores:
    """What a set of bags amounts to. notes: what was left out or must be known to read the numbers."""

    groups: list[Group] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    incomplete: list[Incomplete] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_bags(paths: Iterable[Path | str]) -> tuple[list[BagContents], list[str]]:
    """Contents of each bag, and what is to be said about bags named twice.

    Raises FileNotFoundError and ValueError as read_contents does.
    """
    bags: dict[Path, BagContents] = {}
    notes = []
    for path in map(Path, paths):
        if path.resolve() in bags:
            notes.append(f"{path} was named more than once and is counted once")
        else:
            bags[path.resolve()] = read_contents(path)
    return list(bags.values()), notes


def score(bags: Sequence[BagContents]) -> Scores:
    """Group, count and compare the episodes of some bags. An episode recorded in two of them counts once."""
    scores = Scores(notes=[loss for bag in bags for loss in bag.losses])
    seen: dict[str, Episode] = {}
    for bag in bags:
        fresh = [one for one in bag.episodes if one.fingerprint not in seen]
        if len(fresh) < len(bag.episodes):
            copies = len(bag.episodes) - len(fresh)
            others = sorted({str(seen[one.fingerprint].bag) for one in bag.episodes if one.fingerprint in seen})
            scores.notes.append(
                f"{bag.path}: {copies} of {len(bag.episodes)} episodes are also in {', '.join(others)}; counted once"
            )
        seen |= {one.fingerprint: one for one in fresh}
        scores.episodes += fresh
        scores.incomplete += bag.incomplete
    if scores.incomplete:
        scores.notes.append(f"{len(scores.incomplete)} episodes began and have no result; they are not counted")
    members: dict[Setting, list[Episode]] = defaultdict(list)
    for one in scores.episodes:
        members[one.setting].append(one)
    ordered = sorted(members, key=_order)
    scores.groups = [_group(setting, members[setting]) for setting in ordered]
    scores.notes += [note for setting in ordered for note in _repeats(setting, members[setting])]
    scores.comparisons = _comparisons(ordered, members)
    return scores


def reference_of(setting: Setting, settings: Sequence[Setting]) -> Setting | None:
    """The setting that another is compared with: of those before it in `settings` and with its task, preferably one
    that differs in the dial only, preferably unsteered. None where there is none, and for mixed settings.
    """
    candidates = [one for one in settings[: settings.index(setting)] if one.task == setting.task and _is_pure(one)]
    if not _is_pure(setting):
        return None
    return min(candidates, key=lambda one: (one.kind != setting.kind, not _is_unsteered(one)), default=None)


def _comparisons(settings: Sequence[Setting], members: dict[Setting, list[Episode]]) -> list[Comparison]:
    pairs = ((reference_of(setting, settings), setting) for setting in settings)
    found = [compare(members[reference], members[setting]) for reference, setting in pairs if reference]
    return [comparison for comparison in found if comparison]


def compare(reference: Sequence[Episode], others: Sequence[Episode]) -> Comparison | None:
    """Two groups of episodes, paired by seed; None when they share no seed.

    The n-th episode of a seed in one group is paired with the n-th of that seed in the other; aborted ones with none.
    """
    mine, theirs = _by_seed(reference), _by_seed(others)
    pairs = [pair for seed in mine for pair in zip(mine[seed], theirs.get(seed, ()), strict=False)]
    if not pairs:
        return None
    counts = {cell: pairs.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))}
    difference, low, high = paired_bootstrap(*np.transpose(pairs))
    return Comparison(
        reference=reference[0].setting,
        setting=others[0].setting,
        pairs=len(pairs),
        both=counts[True, True],
        only_reference=counts[True, False],
        only_setting=counts[False, True],
        neither=counts[False, False],
        p_value=mcnemar_exact(counts[True, False], counts[False, True]),
        difference=difference,
        low=low,
        high=high,
    )


def _by_seed(episodes: Sequence[Episode]) -> dict[int, list[bool]]:
    successes: dict[int, list[bool]] = defaultdict(list)
    for one in episodes:
        if one.outcome != "aborted":
            successes[one.seed].append(one.outcome == "success")
    return successes


def _group(setting: Setting, episodes: Sequence[Episode]) -> Group:
    counted = [one for one in episodes if one.outcome != "aborted"]
    successes = [one for one in counted if one.outcome == "success"]
    steps = [one.steps for one in successes]
    latencies = [latency for one in counted for latency in one.latencies]
    low, high = wilson_interval(len(successes), len(counted))
    p50, p95 = np.percentile(latencies, [50, 95]).tolist() if latencies else (None, None)
    return Group(
        setting=setting,
        n=len(counted),
        successes=len(successes),
        aborted=len(episodes) - len(counted),
        low=low,
        high=high,
        steps_mean=float(np.mean(steps)) if steps else None,
        steps_median=float(np.median(steps)) if steps else None,
        latency_p50=p50,
        latency_p95=p95,
        deadline_misses=sum(one.deadline_misses for one in counted),
        late_rows=sum(one.late_rows for one in counted),
        seeds=tuple(sorted(one.seed for one in counted)),
    )


def _repeats(setting: Setting, episodes: Sequence[Episode]) -> list[str]:
    repeated = sum(len(outcomes) - 1 for outcomes in _by_seed(episodes).values())
    if not repeated:
        return []
    return [
        f"{setting.task}, {setting.label()}: {repeated} episodes repeat a seed; the intervals take episodes for "
        "independent, and repetitions of a seed are not"
    ]


def _is_pure(setting: Setting) -> bool:
    return setting.steering is not None and not setting.mixed_steering


def _is_unsteered(setting: Setting) -> bool:
    return _is_pure(setting) and setting.steering is not None and setting.steering.is_identity


def _order(setting: Setting) -> tuple[object, ...]:
    """By kind, those without a policy last; within a kind unsteered, steered by k and σ, mixed, without a chunk."""
    kind = setting.checkpoint == "", *setting.kind
    steering = setting.steering
    if steering is None:
        return *kind, 3
    rank = 2 if setting.mixed_steering else 0 if steering.is_identity else 1
    return *kind, rank, steering.method, steering.integrator, steering.cap, steering.k, steering.sigma

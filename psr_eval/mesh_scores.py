"""Fidelity, diversity and repeated fronts of the objects of every row, measured on views from the same cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from psr_eval.clip_iqa import iqa_scores
from psr_eval.clip_scores import Array, text_agreement
from psr_eval.fronts import FrontRule
from psr_eval.image_files import Pixels
from psr_eval.mesh_runs import AZIMUTHS, VIEWS
from psr_eval.picture_jobs import Result
from psr_eval.picture_scores import Comparison, Entry, root_mean_squares

# Name: heading, whether more is better.
METRICS = {
    "text": ("agreement", True),
    "frechet": ("Fréchet", False),
    "diversity": ("diversity", True),
    "pixel_diversity": ("diversity, pixels", True),
    "repeated_front": ("repeated front, %", False),
    "right_round": ("front and back, %", True),
    "quality": ("quality", True),
    "sharpness": ("sharpness", True),
    "realness": ("realness", True),
    "graspable": ("graspable, %", True),
    "lies_still": ("lies still, %", True),
}
FRONT, BACK = (np.array([word == side for word in VIEWS]) for side in ("front", "back"))


class Space(Protocol):
    """What CLIP says: features (N, D) of unit length of pictures and texts."""

    def image_features(self, images: Iterable[Pixels], /) -> Array: ...
    def text_features(self, texts: Sequence[str], /) -> Array: ...


def compare(
    results: Sequence[Result],
    space: Space | None,
    real: Iterable[Pixels] | None,
    rules: Mapping[str, FrontRule],
    meshes: Sequence[Mapping[str, Any]] = (),
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Comparison:
    """Measures the results of rows, of each all prompts and seeds in one order. space, real: both or neither.

    rules: of the prompts whose fronts can be told. meshes: what psr_eval.mesh_runs.build_meshes gave of each result.
    progress(rows done, rows, what is measured) precedes each row.
    """
    by_row: dict[str, list[int]] = {}
    for number, result in enumerate(results):
        by_row.setdefault(result.job.row.name, []).append(number)
    first = [results[number].job for number in next(iter(by_row.values()))]
    prompts = tuple(dict.fromkeys(job.prompt for job in first))
    progress(0, len(by_row), "what is aimed at")
    aim = None if space is None or real is None else space.image_features(real)
    texts = {} if space is None else {prompt: view_texts(space, prompt) for prompt in prompts}
    entries = {}
    for done, (name, numbers) in enumerate(by_row.items()):
        progress(done, len(by_row), name)
        built = [meshes[number] for number in numbers] if meshes else []
        entries[name] = _measured([results[number] for number in numbers], space, texts, rules, built)
    return Comparison(entries, prompts, len(first) // len(prompts), aim, tuple(METRICS))


def view_texts(space: Space, prompt: str) -> Array:
    """The features (views, D) of what the views of a prompt should show: the view's word is said where it is known."""
    try:
        return space.text_features([f"{prompt}, {word} view" for word in VIEWS])
    except ValueError:  # a judge of few words
        return space.text_features([prompt] * len(VIEWS))


def repeated_front(rule: FrontRule, pictures: Pixels) -> tuple[float, float]:
    """Of views from AZIMUTHS: whether front and back both read as fronts, and whether as front and back; 0 or 1."""
    scores = rule.scores(pictures)
    front, back = scores[FRONT].mean() > 0, scores[BACK].mean() > 0
    return float(front and back), float(front and not back)


def _measured(
    results: Sequence[Result],
    space: Space | None,
    texts: Mapping[str, Array],
    rules: Mapping[str, FrontRule],
    meshes: Sequence[Mapping[str, Any]],
) -> Entry:
    views = np.concatenate([result.pictures for result in results])
    n, each = len(results), len(AZIMUTHS)
    finite = np.array([result.figures["finite"][0] for result in results], bool)
    flat = views.reshape(n, each, -1).astype(np.float64) / 255
    means: dict[str, Array] = {}
    apart = [root_mean_squares(flat[:, view], flat[:, view]) for view in range(each)]
    distances = {"pixel_diversity": np.mean(apart, axis=0)}
    features = None
    if space is not None:
        features = space.image_features(views)
        by_view = features.reshape(n, each, -1)
        means["text"] = text_agreement(by_view, np.stack([texts[result.job.prompt] for result in results])).mean(1)
        distances["diversity"] = 1 - np.einsum("nvd,mvd->nm", by_view, by_view) / each
        means |= {name: one.reshape(n, each).mean(1) for name, one in iqa_scores(space, features).items()}
    if any(rule.told for rule in rules.values()):
        said = [_fronts(rules.get(result.job.prompt), result.pictures) for result in results]
        means["repeated_front"], means["right_round"] = 100 * np.array(said).T
    if meshes:
        means["graspable"] = np.array([100.0 * mesh.get("graspable", False) for mesh in meshes])
        means["lies_still"] = np.array([100.0 * (mesh.get("problem") == "") for mesh in meshes])
    return Entry(results[0].job.row, tuple(results), finite, features, means, distances)


def _fronts(rule: FrontRule | None, pictures: Pixels) -> tuple[float, float]:
    return (np.nan, np.nan) if rule is None or not rule.told else repeated_front(rule, pictures)

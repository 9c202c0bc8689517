"""Fidelity and diversity of the pictures of every row of distillation on images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from psr_eval.clip_scores import Array
from psr_eval.image_files import Pixels
from psr_eval.picture_jobs import Result
from psr_eval.picture_scores import Comparison, Entry, Space, root_mean_squares

# Name: heading, whether more is better. Those of DISTANCES are to DDIM's picture of the same noise.
METRICS = {
    "text": ("agreement", True),
    "frechet": ("Fréchet", False),
    "diversity": ("diversity", True),
    "pixel_diversity": ("diversity, pixels", True),
    "to_ddim": ("to DDIM", False),
    "pixels_to_ddim": ("to DDIM, pixels", False),
}


def compare(
    results: Sequence[Result],
    space: Space | None,
    real: Iterable[Pixels] | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Comparison:
    """Measures the results of rows, of each all prompts in one order. space, real: both or neither.

    progress(rows done, rows, what is measured) precedes each row.
    """
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.job.row.name, []).append(result)
    first = next(iter(by_row.values()))
    prompts, seeds = tuple(result.job.prompt for result in first), first[0].job.seeds
    progress(0, len(by_row), "what is aimed at")
    aim = None if space is None or real is None else space.image_features(real)
    ddim, entries = None, {}
    for done, (name, own) in enumerate(by_row.items()):
        progress(done, len(by_row), name)
        entry = _measured(own, space, ddim)
        entries[name] = entry
        if name == "DDIM":
            ddim = entry
    return Comparison(entries, prompts, seeds, aim, tuple(METRICS))


def _measured(results: Sequence[Result], space: Space | None, ddim: Entry | None) -> Entry:
    pixels = np.concatenate([result.pictures for result in results])
    flat = pixels.reshape(len(pixels), -1).astype(np.float64) / 255
    means: dict[str, Array] = {}
    distances = {"pixel_diversity": root_mean_squares(flat, flat)}
    features = None
    if space is not None:
        prompts = [result.job.prompt for result in results for _ in result.pictures]
        means["text"], features = space.scores(pixels, prompts), space.image_features(pixels)
        distances["diversity"] = 1 - features @ features.T
    if ddim is not None:
        others = np.concatenate([result.pictures for result in ddim.results])
        means["pixels_to_ddim"] = np.sqrt(np.mean((flat - others.reshape(flat.shape) / 255) ** 2, axis=1))
        if features is not None and ddim.features is not None:
            means["to_ddim"] = 1 - (features * ddim.features).sum(1)
    finite = np.array([one for result in results for one in result.figures["finite"]], bool)
    return Entry(results[0].job.row, tuple(results), finite, features, means, distances)

"""Figure B.1 of the thesis: do the views of an object start, by DDIM run backwards, from noises that are alike?

DSD takes it that they do: one eps* stands for all views of an object. Cosines of inverted noises are compared between
views of the same object, of other objects of its kind, and of other kinds. All pairs are of different azimuths, so that
no group has more of the same view. A permutation test says whether the labels matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.inversion import inversion_times, invert
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_core.files import write_whole
from psr_core.object_prior.words import caption
from psr_eval.clip_scores import Array
from psr_eval.image_files import Pixels
from psr_eval.picture_jobs import file_name

ELEVATION = 15.0  # degrees
PERMUTATIONS = 2000
GROUPS = ("object", "kind", "others")  # pairs of the same object, of other objects of the same kind, of other kinds


@dataclass(frozen=True, eq=False)
class Inversion:
    """What all objects share. weights: sha256 of the prior's; views: of each object, at equal steps around it; steps:
    of DDIM; text: whether the inversion is told the kind, or nothing; seed: of the objects."""

    prior: StableDiffusionPrior
    weights: str
    views: int
    steps: int
    text: bool
    seed: int

    def settings(self, kind: str, number: int) -> dict[str, Any]:
        """Everything that decides the noises of an object, as plain values."""
        same = ("weights", "views", "steps", "text", "seed")
        return {**{name: getattr(self, name) for name in same}, "kind": kind, "number": number, "up": ELEVATION}

    def azimuths(self) -> Array:
        """Of the views, in degrees."""
        return np.arange(self.views) * (360 / self.views)

    @torch.no_grad()
    def noises(self, pictures: Pixels, kind: str) -> tuple[Array, Array]:
        """The noises and the latents, each (views, values), of pictures (views, H, W, 3)."""
        prior, device = self.prior, self.prior.unet.device
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device, torch.float32) / 255
        x = prior.encode(images)
        last = prior.levels.last
        prompt = prior.prompt(caption(kind), len(x))
        found = invert(
            GuidedPrior(prior), x, inversion_times(prior.levels, last, last, self.steps), prompt, float(self.text)
        )
        noise, latent = (one.flatten(1).double().cpu().numpy() for one in (found, x))
        return noise, latent


@dataclass(frozen=True, eq=False)
class Noises:
    """Values (N, D) of all views; kinds, objects: numbers (N,), an object's belonging to one kind; azimuths: (N,)."""

    values: Array
    kinds: NDArray[np.int64]
    objects: NDArray[np.int64]
    azimuths: Array

    def cosines(self) -> Array:
        """(N, N)."""
        units = self.values / np.linalg.norm(self.values, axis=1, keepdims=True)
        found: Array = units @ units.T
        return found

    def without_means(self, channels: int) -> Noises:
        """Each less the mean of each of its channels, which come one after the other: without an even colour."""
        by_channel = self.values.reshape(len(self.values), channels, -1)
        values = by_channel - by_channel.mean(2, keepdims=True)
        return replace(self, values=values.reshape(self.values.shape))


def invert_objects(
    inversion: Inversion,
    kinds: Sequence[str],
    objects: int,
    drawn: Callable[[str, int], Pixels],
    folder: Path,
    report: Callable[[int, int, str], None],
) -> tuple[Noises, Noises]:
    """The noises of so many objects of each kind, and their latents; what `folder` has is not inverted again.

    drawn(kind, number): the views (views, H, W, 3) of an object. report(done, total, name) follows each that is.
    """
    every = [(kind, number) for kind in kinds for number in range(objects)]
    paths = [folder / f"{file_name(f'{kind} {n}', inversion.settings(kind, n))}.safetensors" for kind, n in every]
    missing = [(path, *one) for path, one in zip(paths, every, strict=True) if not path.is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        report(0, len(missing), "")
    for done, (path, kind, number) in enumerate(missing, 1):
        noise, latent = inversion.noises(drawn(kind, number), kind)
        write_whole(path, safetensors.numpy.save({"noise": noise, "latent": latent}))
        report(done, len(missing), kind)
    read = [safetensors.numpy.load_file(path) for path in paths]
    owner = np.repeat(np.arange(len(every)), inversion.views)
    labels = owner // objects, owner, np.tile(inversion.azimuths(), len(every))
    noises, latents = (Noises(np.concatenate([one[name] for one in read]), *labels) for name in ("noise", "latent"))
    return noises, latents


def rendered_views(kind: str, number: int, seed: int, azimuths: Sequence[float], size: int) -> Pixels:
    """Views (N, size, size, 3) of a random object of the simulator's. Raises KeyError for a kind that it has not."""
    from sim.objects.kinds import KINDS
    from sim.objects.render import draw_views
    from sim.objects.scene import random_object

    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    shown = random_object(kind, rng)
    return np.stack(list(draw_views(shown, rng, [(float(azimuth), ELEVATION) for azimuth in azimuths], size)))


def group_means(noises: Noises) -> dict[str, float]:
    """The mean cosine of pairs of each of GROUPS."""
    cosines = noises.cosines()
    return {name: float(cosines[pairs].mean()) for name, pairs in _pairs(noises, noises.objects, noises.kinds)}


def permutation_p(noises: Noises, permutations: int = PERMUTATIONS, seed: int = 0) -> dict[str, float]:
    """One-sided p-values: "object", that views of an object are no closer than views of other objects of its kind, by
    exchanging views of one azimuth among the objects of a kind; "kind", that objects of a kind are no closer than of
    other kinds, by exchanging whole objects among the kinds. nan where there is nothing to exchange.
    """
    rng, cosines = np.random.default_rng(seed), noises.cosines()
    found = {}
    for name, shuffled in (("object", _objects_shuffled), ("kind", _kinds_shuffled)):
        gap = _gap(name, cosines, noises, noises.objects, noises.kinds)
        drawn = [_gap(name, cosines, noises, *shuffled(noises, rng)) for _ in range(permutations)]
        found[name] = float((1 + np.sum(np.array(drawn) >= gap - 1e-12)) / (1 + permutations))
        if np.isnan(gap):
            found[name] = float("nan")
    return found


def _pairs(noises: Noises, objects: NDArray[Any], kinds: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    apart = noises.azimuths[:, None] != noises.azimuths
    object_, kind = objects[:, None] == objects, kinds[:, None] == kinds
    yield from zip(GROUPS, (object_ & apart, kind & ~object_ & apart, ~kind & apart), strict=True)


def _gap(name: str, cosines: Array, noises: Noises, objects: NDArray[Any], kinds: NDArray[Any]) -> float:
    pairs = dict(_pairs(noises, objects, kinds))
    near, far = pairs[name], pairs[GROUPS[GROUPS.index(name) + 1]]
    return float(cosines[near].mean() - cosines[far].mean()) if near.any() and far.any() else float("nan")


def _objects_shuffled(noises: Noises, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    objects = noises.objects.copy()
    for kind in np.unique(noises.kinds):
        for azimuth in np.unique(noises.azimuths):
            mine = (noises.kinds == kind) & (noises.azimuths == azimuth)
            objects[mine] = rng.permutation(objects[mine])
    return objects, noises.kinds


def _kinds_shuffled(noises: Noises, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    owners, first = np.unique(noises.objects, return_index=True)
    kinds = dict(zip(owners.tolist(), rng.permutation(noises.kinds[first]).tolist(), strict=True))
    return noises.objects, np.array([kinds[one] for one in noises.objects.tolist()])


def flat_map(noises: Noises) -> Array:
    """Places (N, 2) whose distances are as those of the unit noises, as far as a plane can have them.

    Source: Torgerson 1952, classical scaling; the thesis has t-SNE, which shows what is near and not how far."""
    cosines = noises.cosines()
    centred = cosines - cosines.mean(0) - cosines.mean(1, keepdims=True) + cosines.mean()
    values, vectors = np.linalg.eigh(centred)
    found: Array = vectors[:, -2:] * np.sqrt(values[-2:].clip(0))
    return found[:, ::-1]

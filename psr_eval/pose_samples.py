"""Every setting of `psr reproduce pose` on the same images, measured modulo the objects' symmetry, resumable.

The initial rotations and the injected noise of an image's samples follow from (seed, the image's number) alone, so rows
are comparable image by image, and an image's figures do not depend on which others are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import sample_so3
from psr_eval.kept import KeptResults
from psr_eval.pose_rows import Row
from psr_perception.pose.network import Features, PoseNetwork
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import Symmetry, load_symmetry

SAMPLES, ROTATION = 0, 1  # what the noise of an address (seed, image number) is for
DATA_SEED = 20_210_611  # of the images' rotations, whatever the seed of the samples
DIGITS = 5  # of an error in degrees: float32 rotations carry no more

Array = NDArray[Any]


class RenderedImages:
    """Rendered solids in known rotations. Image i shows solid i // 2 modulo their number (so that even and odd images
    show the same), always in the same rotation.

    names: of solids. count: images there are, from number `first` on. symmetries: folder with <name>.yaml for each.
    No training draws from these addresses. Raises ValueError for an unknown solid, none, or fewer than two images;
    OSError without a solid's file.
    """

    def __init__(self, names: Sequence[str], count: int, symmetries: Path, first: int = 0) -> None:
        check_shapes(names)
        if count < 2:
            raise ValueError(f"images is {count}, expected 2 or more: one for each half")
        self.names, self.count, self.first = list(names), count, first
        self._symmetries = {name: load_symmetry(symmetries / f"{name}.yaml") for name in names}
        self.identity: dict[str, Any] = {"shapes": self.names, "data_seed": DATA_SEED, "first": first}

    @property
    def shapes(self) -> list[str]:
        """Which solid each image shows."""
        return [self.shape(number) for number in range(self.count)]

    def shape(self, number: int) -> str:
        """Which solid an image shows."""
        return self.names[number // 2 % len(self.names)]

    def symmetry(self, number: int) -> Symmetry:
        """Of the solid in an image."""
        return self._symmetries[self.shape(number)]

    def rotations(self, numbers: Sequence[int]) -> Tensor:
        """The true rotations (B, 3, 3) float32."""
        generators = [noise_generator(DATA_SEED, self.first + number, ROTATION) for number in numbers]
        return so3.random_rotations((len(numbers),), generators)

    def images(self, numbers: Sequence[int], size: int, device: torch.device | str = "cpu") -> Tensor:
        """Grey pictures (B, size, size) float32 in [0, 1], rendered on the device."""
        pictures = torch.empty(len(numbers), size, size, device=device)
        for shape, places in self._by_shape(numbers):
            rotations = self.rotations([numbers[place] for place in places]).to(device)
            pictures[places] = render(SOLIDS[shape], rotations, size)
        return pictures

    def errors(self, numbers: Sequence[int], rotations: Tensor) -> Tensor:
        """How far samples (B, n, 3, 3) are from the truth, modulo symmetry, degrees (B, n)."""
        errors = rotations.new_empty(rotations.shape[:2])
        for shape, places in self._by_shape(numbers):
            truth = self.rotations([numbers[place] for place in places]).to(rotations)[:, None]
            errors[places] = self._symmetries[shape].distance(truth, rotations[places])
        return errors.rad2deg()

    def _by_shape(self, numbers: Sequence[int]) -> list[tuple[str, list[int]]]:
        places = {name: [i for i, number in enumerate(numbers) if self.shape(number) == name] for name in self.names}
        return [(name, found) for name, found in places.items() if found]


class PoseSampling:
    """A network asked for `samples` rotations of each image. batch: images that go through it at a time.

    facts: what else decides its samples (the weights), plain values. Raises ValueError below one sample or image.
    """

    def __init__(
        self,
        network: PoseNetwork,
        data: RenderedImages,
        samples: int = 1,
        seed: int = 0,
        batch: int = 250,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("samples", samples), ("batch", batch)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")
        self.network, self.data, self.samples, self.seed, self.batch = network, data, samples, seed, batch
        self.device = next(network.parameters()).device
        own = {"samples": samples, "seed": seed, "batch": batch, "device": self.device.type}
        self.facts: dict[str, Any] = {**(facts or {}), **data.identity, **own}

    def batches(self) -> list[range]:
        """The numbers of all images, as they go through the network."""
        count = self.data.count
        return [range(first, min(first + self.batch, count)) for first in range(0, count, self.batch)]

    @torch.no_grad()
    def encode(self, numbers: Sequence[int]) -> Features:
        """Features of images by their numbers."""
        return self.network.encode(self.data.images(numbers, self.network.config.image_size, self.device))

    @torch.no_grad()
    def sample(self, row: Row, numbers: Sequence[int], features: Features, count: int | None = None) -> Tensor:
        """Rotations (B, samples, 3, 3) of the images with these numbers and features; count: of samples, if others."""
        generators = [noise_generator(self.seed, number, SAMPLES) for number in numbers]
        shape = (len(numbers), self.samples if count is None else count)
        start = so3.random_rotations(shape, generators, device=self.device)
        denoiser = self.network.denoiser(features)
        return sample_so3(denoiser, start, row.levels(), row.steering, row.eta, generators)

    def errors(self, row: Row, numbers: Sequence[int], features: Features) -> Array:
        """Degrees (B, samples) of sample()."""
        return self.data.errors(numbers, self.sample(row, numbers, features).cpu()).numpy().astype(np.float64)


def measure(
    sampling: PoseSampling,
    rows: Sequence[Row],
    path: Path,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[Row, Array]:
    """Errors (images, samples) of every row in degrees; what the file at `path` has is not sampled again.

    report: given how many network calls are done and to do now, first with none done, and the row's name. Batch by
    batch, so that what is interrupted has the same images for all rows. Raises ValueError naming row and images.
    """
    kept = KeptResults(path, sampling.facts)
    batches = sampling.batches()
    missing = [(batch, row) for batch in batches for row in rows if kept.get(_key(row, batch)) is None]
    done, total = 0, sum(row.steps for _, row in missing)
    if missing:
        report(0, total, "")
    for batch, group in groupby(missing, key=lambda pair: pair[0]):
        features = sampling.encode(batch)
        for _, row in group:
            try:
                errors = sampling.errors(row, batch, features)
            except torch.linalg.LinAlgError as error:  # there is no rotation near what is not finite
                where = f"samples of images {batch[0]} to {batch[-1]}"
                raise ValueError(f"{row.name}: {where} are not finite; leave the row out, or train again") from error
            kept.add(_key(row, batch), errors.round(DIGITS).tolist())
            done += row.steps
            report(done, total, row.name)
    return {row: np.concatenate([np.array(kept.get(_key(row, batch))) for batch in batches]) for row in rows}


def check_shapes(names: Sequence[str]) -> None:
    """Raises ValueError unless these are solids, one or more, each once."""
    if unknown := [name for name in names if name not in SOLIDS]:
        raise ValueError(f"shapes has {', '.join(map(repr, unknown))}, expected some of: {', '.join(SOLIDS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"shapes is {', '.join(names)!r}, expected one or more, each once")


def mean_error(network: PoseNetwork, data: RenderedImages, steps: int = 50, samples: int = 4) -> float:
    """Mean error of score sampling in degrees: how good a network is so far."""
    sampling, row = PoseSampling(network, data, samples, batch=25), Row(steps)
    errors = [sampling.errors(row, batch, sampling.encode(batch)) for batch in sampling.batches()]
    return float(np.concatenate(errors).mean())


def _key(row: Row, batch: range) -> Mapping[str, Any]:
    return {"row": asdict(row), "images": [batch.start, batch.stop]}

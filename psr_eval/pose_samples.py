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
from psr_eval.pose_images import SolidImages
from psr_eval.pose_rows import Row
from psr_perception.pose.network import Features, PoseNetwork

SAMPLES = 0  # what the noise of an address (seed, image number) is for
DIGITS = 5  # of an error in degrees: float32 rotations carry no more

Array = NDArray[Any]


class PoseSampling:
    """A network asked for `samples` rotations of each image. batch: images that go through it at a time.

    facts: what else decides its samples (the weights), plain values. Raises ValueError below one sample or image.
    """

    def __init__(
        self,
        network: PoseNetwork,
        data: SolidImages,
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


def mean_error(network: PoseNetwork, data: SolidImages, steps: int = 50, samples: int = 4) -> float:
    """Mean error of score sampling in degrees: how good a network is so far."""
    sampling, row = PoseSampling(network, data, samples, batch=25), Row(steps)
    errors = [sampling.errors(row, batch, sampling.encode(batch)) for batch in sampling.batches()]
    return float(np.concatenate(errors).mean())


def _key(row: Row, batch: range) -> Mapping[str, Any]:
    return {"row": asdict(row), "images": [batch.start, batch.stop]}

"""Every setting of `psr reproduce depth` on the images of a data set, measured image by image, resumable.

The noise of an estimate follows from (seed, the image's number in the data set, ensemble member) alone, so rows are
comparable image by image, and an image's figures do not depend on which others are measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from diffusers import DDIMScheduler
from numpy.typing import NDArray

from psr_core.schedulers import steer
from psr_core.steering import Steering
from psr_eval.depth_rows import SCHEDULERS, Row
from psr_eval.kept import KeptResults
from psr_eval.weights import weights_sha256
from psr_perception.depth.datasets import BENCHMARKS, DepthDataset, Sample, open_benchmark
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.metrics import DepthMetrics, evaluate_depth
from psr_perception.depth.rgbd_folder import open_rgbd_folder
from psr_perception.depth.settings import DepthSettings


@dataclass(frozen=True)
class DepthData:
    """A data set and how it is judged. name: for titles. sha256: of its names, files' sizes and range of depths.

    processing_resolution: the longer side that the network sees in the benchmark's evaluation, None where the
    checkpoint's own is meant. alignment_max_res: see metrics.align.
    """

    name: str
    dataset: DepthDataset
    sha256: str
    processing_resolution: int | None = None
    alignment_max_res: int | None = None


def open_data(folder: Path, benchmark: str | None = None, list_file: Path | None = None) -> DepthData:
    """The test split of our RGB-D folder, or a benchmark of psr_perception.depth.datasets by its folder and list.

    Raises FileNotFoundError or ValueError naming what is missing or wrong.
    """
    if benchmark is None:
        if list_file is not None:
            raise ValueError(f"--list is {list_file}, but a list belongs to a benchmark; give --benchmark, too")
        dataset = open_rgbd_folder(folder, "test")
        return DepthData(folder.resolve().name, dataset, _identity(dataset, folder))
    if list_file is None:
        raise ValueError(f"--benchmark {benchmark} needs --list: the list of its test images, as in Marigold's code")
    dataset, facts = open_benchmark(benchmark, folder, list_file), BENCHMARKS[benchmark]
    return DepthData(
        benchmark, dataset, _identity(dataset, folder), facts.processing_resolution, facts.alignment_max_res
    )


def _identity(dataset: DepthDataset, folder: Path) -> str:
    """Sizes of files stand for their contents: to read all of a benchmark takes long."""
    lines = [f"{name} {(folder / name).stat().st_size}" for name in dataset.names if (folder / name).is_file()]
    return hashlib.sha256("\n".join([f"{dataset.min_depth} {dataset.max_depth}", *lines]).encode()).hexdigest()


def evenly_spread(available: int, wanted: int | None = None) -> list[int]:
    """Numbers of `wanted` images, evenly spread over those there are; of all where it is None.

    Raises ValueError unless it is 2 (one for each half) or more, and at most what there is.
    """
    if available < 2:
        raise ValueError(f"the data set has {available} test image(s), expected 2 or more: one for each half")
    if wanted is None:
        return list(range(available))
    if not 2 <= wanted <= available:
        raise ValueError(f"--images is {wanted}, expected 2 (one for each half) to {available}, the images there are")
    return [number * available // wanted for number in range(wanted)]


class DepthRun:
    """A checkpoint with its settings, for estimates by (row, image number).

    settings: what all rows share; their ensemble sizes are the rows'. batch_size: members that go through the networks
    at a time. Raises ValueError where a row's sampler or steering does not fit the checkpoint.
    """

    def __init__(self, pipeline: Any, rows: Sequence[Row], settings: DepthSettings, batch_size: int = 1) -> None:
        samplers = dict.fromkeys(row.sampler for row in rows)
        self.settings = settings
        self._estimators = {name: DepthEstimator(with_sampler(pipeline, name), batch_size) for name in samplers}
        self._facts = {
            "weights_sha256": weights_sha256(pipeline),
            "scheduler": {name: v for name, v in pipeline.scheduler.config.items() if not name.startswith("_")},
            "device": pipeline.device.type,
            "dtype": str(pipeline.dtype).removeprefix("torch."),
            "batch_size": batch_size,
            **{name: v for name, v in asdict(settings).items() if name != "ensemble_size"},
        }

    def facts(self) -> dict[str, Any]:
        """What decides an estimate beside the row and the image, as plain values."""
        return dict(self._facts)

    def scheduler(self, row: Row) -> Any:
        """The row's scheduler; its steering is that of the last estimate."""
        return self._estimators[row.sampler].scheduler

    def estimate(self, row: Row, number: int, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Relative depth (H, W) of an image (H, W, 3). Raises ValueError as DepthEstimator.estimate."""
        settings = replace(self.settings, ensemble_size=row.ensemble)
        return self._estimators[row.sampler].estimate(rgb, settings, row.steering, number).relative


def with_sampler(pipeline: Any, sampler: str) -> Any:
    """A copy of a Marigold pipeline (networks shared) with a sampler of SCHEDULERS on the same noise schedule.

    Raises ValueError where its checkpoint is not one for DDIM.
    """
    if not isinstance(pipeline.scheduler, DDIMScheduler):
        raise ValueError(
            f"the checkpoint's sampler is {type(pipeline.scheduler).__name__}: its network was distilled to go to the "
            "clean sample in few steps, which ddim and ddpm do not; use one with DDIMScheduler, such as "
            "prs-eth/marigold-depth-v1-1"
        )
    copied = steer(pipeline, Steering())
    copied.scheduler = SCHEDULERS[sampler].from_config(pipeline.scheduler.config)
    return copied


def measure(
    run: DepthRun,
    rows: Sequence[Row],
    data: DepthData,
    numbers: Sequence[int],
    path: Path,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[Row, list[DepthMetrics]]:
    """Metrics of every row on the images of these numbers; what the file at `path` has is not estimated again.

    report: given how many estimates are done and to do now, first with none done, and the row's name. Image by image,
    so that what is interrupted has the same images for all rows. Raises ValueError naming row and image.
    """
    kept = KeptResults(path, {**run.facts(), "data_sha256": data.sha256})
    missing = [(number, row) for number in numbers for row in rows if kept.get(_key(row, number)) is None]
    if missing:
        report(0, len(missing), "")
    done = 0
    for number, group in groupby(missing, key=lambda pair: pair[0]):
        sample = data.dataset[number]
        for _, row in group:
            kept.add(_key(row, number), asdict(_measured(run, row, data, number, sample)))
            done += 1
            report(done, len(missing), row.name)
    return {row: [DepthMetrics(**kept.get(_key(row, number))) for number in numbers] for row in rows}


def _measured(run: DepthRun, row: Row, data: DepthData, number: int, sample: Sample) -> DepthMetrics:
    try:
        relative = run.estimate(row, number, sample.rgb)
        limits = data.dataset.min_depth, data.dataset.max_depth
        return evaluate_depth(relative, sample.depth, sample.valid, *limits, data.alignment_max_res)
    except ValueError as error:
        raise ValueError(f"{row.name} on image {number}, {sample.name}: {error}") from None


def _key(row: Row, number: int) -> Mapping[str, Any]:
    return {"row": asdict(row), "image": number}

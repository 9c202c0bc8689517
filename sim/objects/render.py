"""Render a folder of pictures of single objects (psr_core.object_folder), each kind as often as the others."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_core.image_folder import SPLITS
from psr_core.object_folder import read_object_index, write_object_image, write_object_index
from sim.objects.kinds import KINDS
from sim.objects.scene import ObjectScene, framing, random_object
from sim.rendering import Camera, CameraConfig
from sim.rendering_run import (
    Job,
    RenderReport,
    Written,
    check_plan,
    drawn_by_workers,
    render_jobs,
    require_workers,
    split_into_jobs,
)
from sim.rgbd.scene import CAMERA
from sim.rgbd.views import look_at

VERSION = 1  # of what a plan's images look like
VIEWS = 4  # images of one object, one from each quarter around it
OVERHEAD_EVERY = 8  # one image of so many is seen from above
ELEVATION, OVERHEAD = (-10.0, 55.0), (60.5, 85.0)  # degrees
FILL = (0.8, 0.98)  # of the picture, by the object
OFFSET = 0.03  # of the object's middle from the picture's, standard deviation in radii
FINER = 2  # pixels drawn for each pixel kept, along a side, beside the samples that MuJoCo takes of each
SMALLEST, LARGEST = 16, 1024  # pixels


@dataclass(frozen=True)
class ObjectPlan:
    """What to render: numbers of images for training and for tests, pixels of their sides, and the seed.

    Raises ValueError naming the field that is out of range.
    """

    train: int
    test: int
    size: int = 64
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        check_plan(self, {"size": (SMALLEST, LARGEST)})

    def objects(self) -> Iterator[Job]:
        """Every object, those for training first."""
        return split_into_jobs(self.train, self.test, VIEWS)


def render_objects(
    plan: ObjectPlan,
    out: Path | str,
    *,
    workers: int = 1,
    command: str,
    progress: Callable[[RenderReport], None] = lambda report: None,
) -> RenderReport:
    """Render the plan into a folder, or go on with it where it was interrupted; `command` is noted in the index.

    Raises ValueError when the folder holds something else or another plan's images, OSError when nothing draws here.
    """
    require_workers(workers)
    out = Path(out)
    drawn = partial(_rendered, plan, out, workers=workers)
    complete = partial(write_object_index, out, size=plan.size)
    return render_jobs(plan, out, list(plan.objects()), drawn, complete, read_object_index, command, progress)


def write_object(plan: ObjectPlan, out: Path, job: Job) -> Written:
    """Render an object into the folder; the entries of its images in the index. No view is rejected."""
    rng = np.random.default_rng([plan.seed, SPLITS.index(job.split), job.number])
    shown = random_object(list(KINDS)[job.number % len(KINDS)], rng)
    words = {"kind": shown.kind, "colour": shown.colour, "material": shown.material}
    directions = random_directions(rng, job.count)
    pictures = draw_views(shown, rng, directions, plan.size)
    entries = [
        write_object_image(out, number, rgb, words, azimuth, elevation)
        for number, rgb, (azimuth, elevation) in zip(itertools.count(job.first), pictures, directions)
    ]
    return entries, Counter()


def random_directions(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Azimuths (-180 to 180) and elevations of `count` cameras, in degrees: from each quarter around in turn."""
    quarters = rng.permutation(VIEWS)
    directions = []
    for i in range(count):
        azimuth = 90 * quarters[i % VIEWS] + rng.uniform(-45, 45)
        elevation = rng.uniform(*(OVERHEAD if rng.random() < 1 / OVERHEAD_EVERY else ELEVATION))
        directions.append((float((azimuth + 180) % 360 - 180), float(elevation)))
    return directions


def draw_views(
    shown: ObjectScene, rng: np.random.Generator, directions: Sequence[tuple[float, float]], size: int
) -> Iterator[NDArray[np.uint8]]:
    """Pictures (size, size, 3) of an object from azimuths and elevations in degrees, randomly framed."""
    model, data = shown.scene.load()
    camera = Camera(model, CameraConfig(CAMERA, FINER * size, FINER * size))
    number = model.camera(CAMERA).id
    try:
        for azimuth, elevation in directions:
            fill, offset = rng.uniform(*FILL), rng.normal(0, OFFSET, 3)
            fovy = float(model.cam_fovy[number])
            position, target = framing(shown.scene, azimuth, elevation, fill, offset, fovy)
            data.cam_xpos[number], data.cam_xmat[number] = position, look_at(position, target).ravel()
            yield np.asarray(cv2.resize(camera.draw_rgb(data), (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    finally:
        camera.close()


def _rendered(plan: ObjectPlan, out: Path, jobs: Sequence[Job], workers: int) -> Generator[Written, None, None]:
    """Entries of each object in order, drawn and written by processes of their own."""
    return drawn_by_workers(jobs, workers, _start_worker, (plan, out), _work)


_worker: tuple[ObjectPlan, Path] | None = None


def _start_worker(plan: ObjectPlan, out: Path) -> None:
    global _worker
    _worker = plan, out


def _work(job: Job) -> Written:
    assert _worker is not None
    return write_object(*_worker, job)

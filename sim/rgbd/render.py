"""Render a folder of RGB-D images (psr_core.rgbd_folder): rooms of random things, and the robot's own scenes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from psr_core.image_folder import SPLITS
from psr_core.rgbd_folder import read_rgbd_index, write_rgbd_index, write_rgbd_sample
from sim.rendering import CameraImages
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
from sim.rgbd.clutter import random_room
from sim.rgbd.robot_scenes import RobotScenes
from sim.rgbd.scene import SKY
from sim.rgbd.views import MIN_DEPTH, random_views

VERSION = 1  # of what a plan's images look like
VIEWS = 4  # images of one scene: to make and load it takes far longer than to look at it once more
ROBOT_EVERY = 3  # one scene of so many is a robot's
SCENE_TRIES = 5
SMALLEST, LARGEST = 16, 2048  # pixels


@dataclass(frozen=True)
class Plan:
    """What to render: numbers of images for training and for tests, their size in pixels, and the seed.

    Raises ValueError naming the field that is out of range.
    """

    train: int
    test: int
    width: int = 160
    height: int = 120
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        check_plan(self, dict.fromkeys(("width", "height"), (SMALLEST, LARGEST)))

    def scenes(self) -> Iterator[Job]:
        """Every scene, those for training first."""
        return split_into_jobs(self.train, self.test, VIEWS)


def render(
    plan: Plan,
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
    complete = partial(write_rgbd_index, out, min_depth=MIN_DEPTH, max_depth=SKY)
    return render_jobs(plan, out, list(plan.scenes()), drawn, complete, read_rgbd_index, command, progress)


def render_scene(plan: Plan, job: Job, robots: RobotScenes) -> tuple[str, list[CameraImages], Counter[str]]:
    """The scene's name, its images, and how many views were rejected for which reason.

    A scene that does not yield them is given up for another. Raises ValueError after SCENE_TRIES scenes.
    """
    rejected: Counter[str] = Counter()
    for attempt in range(SCENE_TRIES):
        rng = np.random.default_rng([plan.seed, SPLITS.index(job.split), job.number, attempt])
        if job.number % ROBOT_EVERY == ROBOT_EVERY - 1:
            kind, scene = robots.random_scene(job.split, rng)
        else:
            kind, scene = "room", random_room(job.split, rng)
        images = list(random_views(scene, rng, job.count, plan.width, plan.height, rejected))
        if len(images) == job.count:
            return f"{kind} {job.number}", images, rejected
    raise ValueError(
        f"{job.split} scene {job.number}: {SCENE_TRIES} scenes did not give {job.count} useful views of "
        f"{plan.width} x {plan.height} pixels ({dict(rejected)}); choose another size or seed"
    )


def _rendered(plan: Plan, out: Path, jobs: Sequence[Job], workers: int) -> Generator[Written, None, None]:
    """Entries and rejected views of each scene in order, drawn and written by processes of their own."""
    return drawn_by_workers(jobs, workers, _start_worker, (plan, out), _work)


_worker: tuple[Plan, Path, RobotScenes] | None = None


def _start_worker(plan: Plan, out: Path) -> None:
    global _worker
    _worker = plan, out, RobotScenes()


def _work(job: Job) -> Written:
    assert _worker is not None
    return write_scene(*_worker, job)


def write_scene(plan: Plan, out: Path, robots: RobotScenes, job: Job) -> Written:
    """Render a scene into the folder; the entries of its images in the index, and the rejected views."""
    name, views, rejected = render_scene(plan, job, robots)
    entries = []
    for number, view in enumerate(views, start=job.first):
        lens = [float(view.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))]
        entries.append(write_rgbd_sample(out, number, view.rgb, view.depth, K=lens, scene=name))
    return entries, rejected

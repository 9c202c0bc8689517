"""Render a folder of RGB-D images (psr_core.rgbd_folder): rooms of random things, and the robot's own scenes.

Image by image it is settled in advance which scene it shows, and a scene follows from its address alone (seed, split,
number), so the folder's content does not depend on workers or interruptions. Beside the images lies a log of the
scenes that are done, from which an interrupted rendering goes on; in the end the index takes its place.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psr_core.rgbd_folder import INDEX, SPLITS, read_rgbd_index, write_rgbd_index, write_rgbd_sample
from sim.rendering import CameraImages, choose_gl
from sim.rgbd.clutter import random_room
from sim.rgbd.robot_scenes import RobotScenes
from sim.rgbd.scene import SKY
from sim.rgbd.views import MIN_DEPTH, random_views
from sim.worker import serve_parent

VERSION = 1  # of what a plan's images look like
VIEWS = 4  # images of one scene: to make and load it takes far longer than to look at it once more
ROBOT_EVERY = 3  # one scene of so many is a robot's
SCENE_TRIES = 5
SMALLEST, LARGEST = 16, 2048  # pixels
LOG = "rendering.jsonl"  # first the plan, then a line for each scene


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
        ranges = {"train": (0, 10**6 - 1), "test": (0, 10**6 - 1), "seed": (0, 2**63 - 1)}
        for field, (low, high) in (ranges | dict.fromkeys(("width", "height"), (SMALLEST, LARGEST))).items():
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} is {getattr(self, field)}, expected {low} to {high}")
        if not 1 <= self.train + self.test <= 10**6:
            raise ValueError(f"train and test are {self.train} and {self.test} images, expected 1 to 1000000 together")

    def scenes(self) -> Iterator[SceneJob]:
        """Every scene, those for training first."""
        for split, before, images in (("train", 0, self.train), ("test", self.train, self.test)):
            for number, first in enumerate(range(0, images, VIEWS)):
                yield SceneJob(split, number, before + first, min(VIEWS, images - first))


@dataclass(frozen=True)
class SceneJob:
    """A scene of a split, counted from 0 in each, and the images that it is for: `count` of them, from `first` on."""

    split: str
    number: int
    first: int
    count: int


@dataclass(frozen=True)
class RenderReport:
    """How far a rendering is: images done, of how many, and how many views were rejected for which reason."""

    images: int
    total: int
    rejected: Counter[str]


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
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    out = Path(out)
    if (out / INDEX).exists():
        return _finished(out, plan)
    entries, rejected = _open_log(out, plan)
    jobs = list(plan.scenes())
    total, done = plan.train + plan.test, sum(len(images) for images in entries)
    progress(RenderReport(done, total, rejected))
    with closing(_rendered(plan, out, jobs[len(entries) :], workers)) as rendered:
        for images, faults in rendered:
            _append(out, {"images": images, "rejected": faults})
            entries.append(images)
            done, rejected = done + len(images), rejected + faults
            progress(RenderReport(done, total, rejected))
    splits = {"train": range(plan.train), "test": range(plan.train, total)}
    how = {**asdict(plan), "command": command, "rejected": rejected}
    flat = [image for images in entries for image in images]
    write_rgbd_index(out, flat, splits, MIN_DEPTH, SKY, rendered=how)
    (out / LOG).unlink()
    return RenderReport(done, total, rejected)


def render_scene(plan: Plan, job: SceneJob, robots: RobotScenes) -> tuple[str, list[CameraImages], Counter[str]]:
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


Written = tuple[list[dict[str, Any]], Counter[str]]


def _rendered(plan: Plan, out: Path, jobs: list[SceneJob], workers: int) -> Generator[Written, None, None]:
    """Entries and rejected views of each scene in order, drawn and written by processes of their own."""
    if not jobs:
        return
    if not (gl := choose_gl()).ok:
        raise OSError(f"nothing can be rendered: {gl.detail}")
    context = multiprocessing.get_context("spawn")  # a forked child would share the parent's threads and drivers
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(plan, out))
    try:
        yield from pool.map(_work, jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: tuple[Plan, Path, RobotScenes] | None = None


def _start_worker(plan: Plan, out: Path) -> None:
    global _worker
    serve_parent()
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in this thread: one worker, one core
    _worker = plan, out, RobotScenes()


def _work(job: SceneJob) -> Written:
    assert _worker is not None
    return write_scene(*_worker, job)


def write_scene(plan: Plan, out: Path, robots: RobotScenes, job: SceneJob) -> Written:
    """Render a scene into the folder; the entries of its images in the index, and the rejected views."""
    name, views, rejected = render_scene(plan, job, robots)
    entries = []
    for number, view in enumerate(views, start=job.first):
        lens = [float(view.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))]
        entries.append(write_rgbd_sample(out, number, view.rgb, view.depth, K=lens, scene=name))
    return entries, rejected


def _finished(out: Path, plan: Plan) -> RenderReport:
    rendered = read_rgbd_index(out).get("rendered", {})
    _check_plan(out / INDEX, rendered, plan)
    (out / LOG).unlink(missing_ok=True)
    total = plan.train + plan.test
    return RenderReport(total, total, Counter(rendered["rejected"]))


def _open_log(out: Path, plan: Plan) -> tuple[list[list[Any]], Counter[str]]:
    """Begin the log, or check that it is this plan's; the images of each scene that is done, and the rejected views."""
    path = out / LOG
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} holds something else; give a new folder")
        out.mkdir(parents=True, exist_ok=True)
        _append(out, asdict(plan))
        return [], Counter()
    whole = path.read_bytes().rpartition(b"\n")[0]  # a line that was cut off in the writing does not count
    path.write_bytes(whole + b"\n" if whole else b"")
    if not whole:
        _append(out, asdict(plan))
        return [], Counter()
    first, *scenes = [json.loads(line) for line in whole.splitlines()]
    _check_plan(path, first, plan)
    rejected: Counter[str] = sum((Counter(scene["rejected"]) for scene in scenes), Counter())
    return [scene["images"] for scene in scenes], rejected


def _check_plan(path: Path, found: dict[str, Any], plan: Plan) -> None:
    for field, expected in asdict(plan).items():
        if found.get(field) != expected:
            raise ValueError(
                f"{path}: {field} is {found.get(field)!r}, expected {expected!r}; "
                "give another folder, or delete this one"
            )


def _append(out: Path, line: dict[str, Any]) -> None:
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

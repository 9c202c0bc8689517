"""What every rendering to a folder has in common: jobs in order, processes that draw them, and going on after a stop.

Job by job it is settled in advance what is drawn, and that follows from its address alone (seed, split, number), so the
folder's content does not depend on workers or interruptions. Beside the images lies a log of the jobs that are done,
from which an interrupted rendering goes on; in the end the index takes its place.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from psr_core.image_folder import INDEX
from sim.rendering import choose_gl
from sim.worker import serve_parent

LOG = "rendering.jsonl"  # first the plan, then a line for each job
MOST = 10**6  # images: their files have six digits


class Plan(Protocol):
    """What to render, a dataclass: numbers of images for training and for tests, and all that the images depend on."""

    @property
    def train(self) -> int: ...
    @property
    def test(self) -> int: ...


@dataclass(frozen=True)
class Job:
    """A scene of a split, counted from 0 in each, and the images that it is for: `count` of them, from `first` on."""

    split: str
    number: int
    first: int
    count: int


Written = tuple[list[dict[str, Any]], Counter[str]]  # entries of a job's images, and views rejected for which reason


@dataclass(frozen=True)
class RenderReport:
    """How far a rendering is: images done, of how many, and how many views were rejected for which reason."""

    images: int
    total: int
    rejected: Counter[str]


def split_into_jobs(train: int, test: int, views: int) -> Iterator[Job]:
    """Jobs of at most `views` images each, those for training first."""
    for split, before, images in (("train", 0, train), ("test", train, test)):
        for number, first in enumerate(range(0, images, views)):
            yield Job(split, number, before + first, min(views, images - first))


def check_plan(plan: Plan, ranges: Mapping[str, tuple[int, int]]) -> None:
    """Raises ValueError naming the field of a plan that is out of range. ranges: of fields beside the usual ones."""
    common = {"train": (0, MOST - 1), "test": (0, MOST - 1), "seed": (0, 2**63 - 1)}
    for field, (low, high) in (common | dict(ranges)).items():
        if not low <= getattr(plan, field) <= high:
            raise ValueError(f"{field} is {getattr(plan, field)}, expected {low} to {high}")
    if not 1 <= plan.train + plan.test <= MOST:
        raise ValueError(f"train and test are {plan.train} and {plan.test} images, expected 1 to {MOST} together")


def render_jobs(
    plan: Plan,
    out: Path,
    jobs: Sequence[Job],
    drawn: Callable[[Sequence[Job]], Generator[Written, None, None]],
    complete: Callable[..., None],
    read_index: Callable[[Path], dict[str, Any]],
    command: str,
    progress: Callable[[RenderReport], None],
) -> RenderReport:
    """Draws a plan's jobs into a folder, or goes on with it where it was interrupted.

    drawn: draws and writes jobs in order. complete(images, splits, rendered=...) writes the index that read_index
    reads; `command` is noted in it. Raises ValueError when the folder holds something else or another plan's images.
    """
    total = plan.train + plan.test
    if (out / INDEX).exists():
        return _finished(out, plan, read_index)
    entries, rejected = _open_log(out, plan)
    done = sum(len(images) for images in entries)
    progress(RenderReport(done, total, rejected))
    with closing(drawn(jobs[len(entries) :])) as written:
        for images, faults in written:
            _append(out, {"images": images, "rejected": faults})
            entries.append(images)
            done, rejected = done + len(images), rejected + faults
            progress(RenderReport(done, total, rejected))
    splits = {"train": range(plan.train), "test": range(plan.train, total)}
    how = {**_fields(plan), "command": command, "rejected": rejected}
    complete([image for images in entries for image in images], splits, rendered=how)
    (out / LOG).unlink()
    return RenderReport(done, total, rejected)


def drawn_by_workers(
    jobs: Sequence[Job],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    work: Callable[[Job], Written],
) -> Generator[Written, None, None]:
    """What work(job) returns for each job in order, in processes that begin with start(*arguments).

    Raises OSError when nothing draws here.
    """
    if not jobs:
        return
    if not (gl := choose_gl()).ok:
        raise OSError(f"nothing can be rendered: {gl.detail}")
    context = multiprocessing.get_context("spawn")  # a forked child would share the parent's threads and drivers
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_work, initargs=(start, arguments))
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def require_workers(workers: int) -> None:
    """Raises ValueError below one."""
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")


def _begin_work(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    serve_parent()
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in this thread: one worker, one core
    start(*arguments)


def _fields(plan: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(asdict(plan)))  # as the log has them: tuples are lists there
    return fields


def _finished(out: Path, plan: Plan, read_index: Callable[[Path], dict[str, Any]]) -> RenderReport:
    rendered = read_index(out).get("rendered", {})
    _check_same(out / INDEX, rendered, plan)
    (out / LOG).unlink(missing_ok=True)
    total = plan.train + plan.test
    return RenderReport(total, total, Counter(rendered["rejected"]))


def _open_log(out: Path, plan: Plan) -> tuple[list[list[Any]], Counter[str]]:
    """Begin the log, or check that it is this plan's; the images of each job that is done, and the rejected views."""
    path = out / LOG
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} holds something else; give a new folder")
        out.mkdir(parents=True, exist_ok=True)
        _append(out, _fields(plan))
        return [], Counter()
    whole = path.read_bytes().rpartition(b"\n")[0]  # a line that was cut off in the writing does not count
    path.write_bytes(whole + b"\n" if whole else b"")
    if not whole:
        _append(out, _fields(plan))
        return [], Counter()
    first, *scenes = [json.loads(line) for line in whole.splitlines()]
    _check_same(path, first, plan)
    rejected: Counter[str] = sum((Counter(scene["rejected"]) for scene in scenes), Counter())
    return [scene["images"] for scene in scenes], rejected


def _check_same(path: Path, found: dict[str, Any], plan: Plan) -> None:
    for field, expected in _fields(plan).items():
        if found.get(field) != expected:
            raise ValueError(
                f"{path}: {field} is {found.get(field)!r}, expected {expected!r}; "
                "give another folder, or delete this one"
            )


def _append(out: Path, line: dict[str, Any]) -> None:
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")

"""Jobs of a comparison of methods, each a row on a prompt, whose pictures and figures are kept as they are made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from psr_core.files import write_whole
from psr_core.media import as_png
from psr_eval.image_files import Pixels, read_pixels
from psr_eval.kept import KeptResults


class Row(Protocol):
    """What is compared. shares: whether what seeds give of a prompt depends on each other."""

    @property
    def name(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def shares(self) -> bool: ...
    def settings(self) -> dict[str, Any]: ...


class Job(Protocol):
    """A row on a prompt; what it gives follows from settings(), plain values, alone."""

    @property
    def row(self) -> Row: ...
    @property
    def prompt(self) -> str: ...
    @property
    def pictures(self) -> int:
        """How many it makes."""

    def settings(self) -> dict[str, Any]: ...
    def path(self, folder: Path) -> Path:
        """The file of its pictures, side by side."""

    def make(self, folder: Path) -> dict[str, Any]:
        """Writes that file, and returns what is to be kept beside it, as plain values."""


class Result(NamedTuple):
    """What is known of a job: its pictures (N, H, W, 3), and what was kept beside them; "finite" says which count."""

    job: Any
    pictures: Pixels
    figures: Mapping[str, Any]


def run_jobs(
    jobs: Sequence[Job], kept: KeptResults, folder: Path, report: Callable[[int, int, str], None]
) -> list[Result]:
    """Results of the jobs, in their order. What is kept, with its pictures in `folder`, is not made again.

    report(done, total, name) follows each that is.
    """
    missing = {
        job.path(folder): job for job in jobs if kept.get(job.settings()) is None or not job.path(folder).is_file()
    }
    if missing:
        report(0, len(missing), "")
    for number, job in enumerate(missing.values(), 1):
        kept.add(job.settings(), job.make(folder))
        report(number, len(missing), f"{job.prompt}, {job.row.name}")
    return [Result(job, read_strip(job.path(folder), job.pictures), kept.get(job.settings())) for job in jobs]


def file_name(words: str, settings: Mapping[str, Any]) -> str:
    """A name that can be read, and that other settings do not have."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub('[^a-z0-9]+', '-', words.lower()).strip('-')[:80]}-{digest}"


def write_strip(path: Path, pictures: Pixels) -> None:
    """Writes pictures (N, H, W, 3) side by side; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, as_png(np.concatenate(list(pictures), axis=1)))


def read_strip(path: Path, number: int) -> Pixels:
    """The pictures (N, H, W, 3) of write_strip."""
    strip = read_pixels(path)
    return strip.reshape(len(strip), number, -1, 3).swapaxes(0, 1)

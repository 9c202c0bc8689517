"""Objects by every method of score distillation, from the same seeds, at the same number of calls.

A job is a row on a prompt and a seed: one object. What it gives follows from its settings alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch

from psr_core.distillation.distill import DivergedError
from psr_core.distillation.stable_diffusion import StableDiffusionPrior
from psr_core.files import write_whole
from psr_core.object_folder import view_word
from psr_eval.equal_calls import plain_options
from psr_eval.image_files import Pixels
from psr_eval.kept import KeptResults, code_digest
from psr_eval.mesh_rows import Row, iterations, rates, settings_of
from psr_eval.peak_memory import peak_mb, reset_peak
from psr_eval.picture_jobs import Result, file_name, write_strip
from psr_mesh.build import build_asset
from psr_mesh.previews import look
from psr_mesh.rendering import Light
from psr_mesh.training import MeshTrainer
from psr_mesh.volume import Volume

GREY = 127  # what stands where an object diverged
ELEVATION = 15.0
AZIMUTHS = tuple(22.5 + 45 * i for i in range(8))  # two of the front, two of the back, four of the sides
VIEWS = tuple(view_word(azimuth, ELEVATION) for azimuth in AZIMUTHS)
LAMP = Light(torch.tensor([0.48, 0.36, 0.8]), ambient=0.7, diffuse=0.4)  # as bright as those of training


@dataclass(frozen=True, eq=False)
class Setting:
    """What all jobs share. weights: sha256 of the prior's; calls: of the model, for each object; negative: for NFSD.
    told: is told how far an object is, iterations done and in all."""

    prior: StableDiffusionPrior
    weights: str
    preset: str
    prompts: tuple[str, ...]
    calls: int
    negative: str
    told: Callable[[int, int], None] = field(default=lambda done, steps: None)
    _steps: dict[Row, int] = field(default_factory=dict)

    def steps(self, row: Row) -> int:
        """Iterations of a row. Raises ValueError where it cannot be run, before any call of the model."""
        if row not in self._steps:
            same = (self.prior, self.preset, self.prompts[0], self.calls, self.negative)
            self._steps[row] = iterations(row, *same)
        return self._steps[row]


class Made(NamedTuple):
    """Views (N, H, W, 3) uint8 from AZIMUTHS, and the volume's tensors, none where it diverged; iterations, guided
    calls and rows of the model, seconds, the most memory held in MB, and why it diverged, "" where it did not."""

    pictures: Pixels
    volume: Mapping[str, torch.Tensor] | None
    iterations: int
    calls: int
    model: int
    seconds: float
    peak_mb: int
    problem: str


@dataclass(frozen=True, eq=False)
class Job:
    """The object of a row, a prompt and a seed. Rows that ask for the same have the same object."""

    setting: Setting
    row: Row
    prompt: str
    seed: int
    pictures: int = len(AZIMUTHS)
    seeds: int = 1

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values."""
        shared, unet = self.setting, self.setting.prior.unet
        asked = settings_of(self.row, shared.preset, self.prompt, self.seed, 1, shared.negative)
        return {
            "prior": shared.weights,
            "shape": list(shared.prior.shape),
            "dtype": str(unet.dtype),
            "device": unet.device.type,
            "settings": repr(asked),
            "options": plain_options(asked.method_options().items()),
            "rate": next(rates(shared.preset, 1)),
            "calls": shared.calls,
            "views": [ELEVATION, *AZIMUTHS],
            "code": _code(),
        }

    def path(self, folder: Path) -> Path:
        """The file of the views, side by side."""
        return folder / "pictures" / f"{self.name()}.png"

    def volume_path(self, folder: Path) -> Path:
        """The file of the volume."""
        return folder / "volumes" / f"{self.name()}.safetensors"

    def name(self) -> str:
        """Of its files."""
        return file_name(f"{self.row.method} {self.prompt} {self.seed}", self.settings())

    def make(self, folder: Path) -> dict[str, Any]:
        """Makes the files of views and volume; what is known of the object beside them."""
        made = self.run()
        if made.volume is not None:
            path = self.volume_path(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, safetensors.torch.save(dict(made.volume)))
        write_strip(self.path(folder), made.pictures)
        same = ("iterations", "calls", "model", "peak_mb", "problem")
        figures = {name: getattr(made, name) for name in same}
        views = settings_of(self.row, self.setting.preset, self.prompt).views
        more = {"seconds": round(made.seconds, 3), "views": views, "finite": [made.volume is not None]}
        return {**figures, **more}

    def run(self) -> Made:
        """Distils it."""
        shared, steps = self.setting, self.setting.steps(self.row)
        device = shared.prior.unet.device
        settings = settings_of(self.row, shared.preset, self.prompt, self.seed, steps, shared.negative)
        reset_peak(device)
        started, trainer, problem = time.perf_counter(), MeshTrainer(settings, shared.prior, {}), ""
        try:
            for rate in rates(shared.preset, steps):
                if trainer.step == steps or trainer.finished:
                    break
                trainer.run.optimizer.param_groups[0]["lr"] = rate
                trainer.train_step()
                shared.told(trainer.step, steps)
        except DivergedError as error:
            problem = str(error)
        seconds, calls = time.perf_counter() - started, trainer.calls()
        _, height, width = shared.prior.image_shape
        if problem:
            views, volume = np.full((len(AZIMUTHS), height, width, 3), GREY, np.uint8), None
        else:
            views = look(trainer.volume, AZIMUTHS, ELEVATION, width, LAMP)
            volume = {name: value.detach().cpu().contiguous() for name, value in trainer.volume.state_dict().items()}
        cost = (trainer.step, calls["guided"], calls["model"], seconds, peak_mb(device))
        return Made(views, volume, *cost, problem)


def read_volume(path: Path) -> Volume:
    """A volume that a job kept."""
    state = safetensors.torch.load_file(path)
    volume = Volume((state["levels.0"].shape[-1] - 1,))
    volume.load_state_dict(state)
    return volume


def build_meshes(
    results: Sequence[Result], kept: KeptResults, folder: Path, report: Callable[[int, int, str], None]
) -> list[Mapping[str, Any]]:
    """The surface of each object that did not diverge, dropped onto a floor: its figures, or {"problem": why there is
    none}. What is kept is not built again."""
    from sim.drop_test import drop_test

    found = [result for result in results if result.figures["finite"][0]]
    missing = [result.job for result in found if kept.get(_mesh_settings(result.job)) is None]
    if missing:
        report(0, len(missing), "")
    for number, job in enumerate(missing, 1):
        place = folder / "meshes" / job.name()
        try:
            if not place.exists():
                build_asset(read_volume(job.volume_path(folder)).field(), place)
            dropped = drop_test(place / "object.xml")
            figures = {"problem": "; ".join(dropped.problems), "graspable": dropped.graspable, "built": True}
        except ValueError as error:
            figures = {"problem": str(error), "graspable": False, "built": False}
        kept.add(_mesh_settings(job), figures)
        report(number, len(missing), f"{job.prompt}, {job.row.name}")
    return [kept.get(_mesh_settings(result.job)) or {} for result in results]


def _mesh_settings(job: Job) -> dict[str, Any]:
    return {**job.settings(), "mesh": True}


@cache
def _code() -> str:
    here = Path(__file__).parent
    core, mesh = here.parent / "psr_core", here.parent / "psr_mesh"
    paths = [*sorted((core / "distillation").glob("*.py")), core / "integrators.py", core / "predictions.py"]
    drawn = ("cameras", "previews", "regularisers", "rendering", "training", "view_prompts", "volume")
    paths += [mesh / f"{name}.py" for name in drawn]
    paths += [here / f"{name}.py" for name in ("mesh_runs", "mesh_rows", "equal_calls")]
    return code_digest(paths)

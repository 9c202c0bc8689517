"""From a prompt to an object in a catalogue: distilled, made a mesh, photographed and listed."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from psr_core.diffusers_folder import modules_sha256
from psr_core.distillation.latents import LatentPrior
from psr_core.files import git_revision, write_whole
from psr_core.media import Pixels, as_png, write_mp4
from psr_core.training_run import TrainingRun
from psr_mesh.asset import AssetOptions, read_asset
from psr_mesh.build import build_asset
from psr_mesh.catalogue import Entry, add_asset, read_catalogue
from psr_mesh.previews import STRIP, look, strip, turntable_frames
from psr_mesh.settings import MeshSettings
from psr_mesh.surface import SurfaceOptions
from psr_mesh.training import MeshTrainer

PREVIEW, THUMBNAIL, TURNTABLE = "preview.png", "thumbnail.png", "turntable.mp4"
THUMBNAIL_VIEW = (35.0, 25.0)  # azimuth and elevation, degrees
FRAMES, RATE = 60, 20.0  # of the turntable, and how many a second
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Stopped(Exception):
    """Somebody asked to stop; the state is saved, and the same call goes on."""


@dataclass(frozen=True)
class Progress:
    """How far a build is. stage: "distillation", then what becomes of it. seconds_left: of the stage, None where that
    is not known. preview: (H, W, 3) uint8, where there is a new one."""

    stage: str
    step: int
    steps: int
    seconds_left: float | None = None
    preview: Pixels | None = None


def object_name(prompt: str, seed: int) -> str:
    """A name for an object: "a red chair", 3 -> "a_red_chair_3"."""
    return f"{re.sub('[^a-z0-9]+', '_', prompt.lower()).strip('_')[:50]}_{seed}"


def build_mesh(
    settings: MeshSettings,
    prior: LatentPrior,
    work: Path | str,
    catalogue: Path | str,
    name: str,
    *,
    resume: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Progress], None] = lambda progress: None,
    preview_every: float = 10.0,
    surface: SurfaceOptions | None = None,
    asset: AssetOptions | None = None,
) -> Entry:
    """Distils an object in the folder `work`, makes it the asset `name` of the catalogue and lists it there.

    prior: its `empty` must be the settings'; the volume lies on its device. preview_every: seconds. Raises Stopped when
    should_stop() said so; the same call goes on then and ends with the same object. Before any work: ValueError for a
    name, a catalogue or settings that cannot be, FileExistsError for a name that is taken, or a run in `work` that is
    not to be resumed; DivergedError (a ValueError) when there is no object in the volume.
    """
    work, catalogue = Path(work), Path(catalogue)
    data = {"weights_sha256": modules_sha256(prior.parts)}
    trainer = MeshTrainer(settings, prior, {"shape": list(prior.shape), "dtype": str(prior.unet.dtype)})
    made = _plain({"settings": asdict(settings), "prior": data})
    folder = check_target(catalogue, name, made)
    if folder.exists():
        return add_asset(catalogue, name, f"{name}/{THUMBNAIL}")
    seconds, calls = _distil(trainer, work, data, resume, should_stop, progress, preview_every)

    made |= {
        "prompt": settings.prompt,
        "seed": settings.seed,
        "method": settings.method,
        "steering": asdict(settings.steering),
        "model_calls": calls,
        "seconds": round(seconds),
        "peak_memory_mb": peak_memory(trainer.device),
        "git_revision": git_revision(),
    }

    def stage(text: str) -> None:
        progress(Progress(text, trainer.step, settings.steps))

    stage("turntable")
    frames = list(turntable_frames(trainer.volume, FRAMES))
    write_mp4(frames, RATE, work / TURNTABLE)
    thumbnail = look(trainer.volume, [THUMBNAIL_VIEW[0]], THUMBNAIL_VIEW[1], 256)[0]
    build_asset(
        trainer.volume.field(),
        folder,
        surface=surface,
        asset=asset,
        made=made,
        extras={THUMBNAIL: as_png(thumbnail), TURNTABLE: (work / TURNTABLE).read_bytes()},
        device=trainer.device,
        progress=stage,
    )
    return add_asset(catalogue, name, f"{name}/{THUMBNAIL}")


def check_target(catalogue: Path, name: str, made: dict[str, Any]) -> Path:
    """Where an asset is to be; that of the same settings may be there. Raises ValueError or OSError naming the cure."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}, expected a-z, 0-9, _ and -, 64 at most, such as red_chair")
    read_catalogue(catalogue)
    catalogue.mkdir(parents=True, exist_ok=True)
    _require_writable(catalogue)
    folder = catalogue / name
    if folder.exists():
        theirs = read_asset(folder).made
        if any(theirs.get(field) != value for field, value in made.items()):
            raise FileExistsError(f"{folder} is another object already; choose another name, or remove it")
    return folder


def peak_memory(device: torch.device) -> int:
    """The most memory that this process held so far, in MB (10^6): of the GPU where it computes, else of the host."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def _distil(
    trainer: MeshTrainer,
    work: Path,
    data: dict[str, Any],
    resume: bool,
    should_stop: Callable[[], bool],
    progress: Callable[[Progress], None],
    preview_every: float,
) -> tuple[float, dict[str, Any]]:
    """Runs to the end; seconds it took in all and the model's calls. Raises Stopped."""
    cards: list[dict[str, Any]] = []

    def keep(out: Path, card: dict[str, Any]) -> None:
        cards[:] = [card]
        write_whole(out / PREVIEW, as_png(strip(look(trainer.volume, STRIP))))
        write_whole(out / "card.json", json.dumps({**card, "model_calls": trainer.calls()}, indent=1).encode())

    work.mkdir(parents=True, exist_ok=True)
    _require_writable(work)
    run = TrainingRun(trainer, work, {"data": data}, keep, resume=resume)
    begin, first, shown = time.monotonic(), trainer.step, [0.0]
    steps = trainer.settings.steps

    def stop() -> bool:
        now, done = time.monotonic(), trainer.step - first
        left = None if done == 0 else (now - begin) / done * (steps - trainer.step)
        preview = None
        if now - shown[0] > preview_every:
            shown[0] = now
            preview = strip(look(trainer.volume, STRIP))
            write_whole(work / PREVIEW, as_png(preview))
        progress(Progress("distillation", trainer.step, steps, left, preview))
        return should_stop() or trainer.finished

    ended = run.train(should_stop=stop, report=lambda line: None, log_every=max(1, steps // 500))
    if not ended and not trainer.finished:
        raise Stopped(f"stopped at iteration {trainer.step} of {steps}, and saved in {work}")
    if not cards:
        run.save()
    return float(cards[-1]["metrics"]["training_seconds"]), trainer.calls()


def _require_writable(folder: Path) -> None:
    probe = folder / ".writable"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"{folder} cannot be written to ({error}); choose another folder") from None


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value))

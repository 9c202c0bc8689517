"""Images for table 1.3: every row's sampler on the same prompts from the same noise, one PNG each, resumable.

OUT/<row slug>/<prompt index>_<image index>.png and the manifest OUT/run.json. The noise of an image follows from (seed,
prompt index, image index) alone, so rows are comparable image by image.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch

from psr_core.devices import torch_device
from psr_core.diffusers_folder import local_folder, reading
from psr_core.files import write_whole
from psr_core.schedulers import steer
from psr_core.seeds import noise_generator
from psr_eval.environment import environment
from psr_eval.image_rows import Row
from psr_eval.weights import weights_sha256

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ImagePlan:
    """Everything that decides the images. model: diffusers folder or hub id. height, width: pixels; both or neither."""

    model: str
    prompts: Sequence[str] = field(repr=False)
    rows: Sequence[Row]
    steps: int = 50
    seed: int = 0
    images_per_prompt: int = 1
    batch_size: int = 4
    height: int | None = None
    width: int | None = None
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "images_per_prompt", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed is {self.seed}, expected 0 to 2**64 - 1")
        if (self.height is None) != (self.width is None):
            raise ValueError(f"height is {self.height} and width is {self.width}; give both or neither")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}, expected one of: {', '.join(DTYPES)}")
        slugs = [row.slug for row in self.rows]
        for row in self.rows:
            if slugs.count(row.slug) > 1:
                raise ValueError(f"two rows are named like {row.name!r} (folder {row.slug}); names must differ")

    @property
    def images(self) -> int:
        """Images of a row."""
        return len(self.prompts) * self.images_per_prompt

    def batches(self) -> list[list[tuple[int, int]]]:
        """All (prompt index, image index) in batches. Always cut the same: an image's last bits depend on the batch."""
        images = [(p, i) for p in range(len(self.prompts)) for i in range(self.images_per_prompt)]
        return [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]

    def image_path(self, out: Path, row: Row, prompt: int, image: int) -> Path:
        """Where an image of the table stands."""
        return out / row.slug / f"{prompt:05d}_{image:02d}.png"

    def image_paths(self, out: Path, row: Row) -> list[Path]:
        """The row's images: prompt by prompt, the images of a prompt one after the other."""
        return [self.image_path(out, row, *place) for batch in self.batches() for place in batch]


def load_pipeline(model: str, dtype: torch.dtype) -> Any:
    """The text-to-image pipeline of a diffusers folder or hub id, on the CPU. Weights come from safetensors only.

    Raises OSError or ValueError naming what was looked for, where, and the cure.
    """
    folder = local_folder(model)
    pipeline = reading(
        model,
        folder,
        lambda: diffusers.AutoPipelineForText2Image.from_pretrained(
            str(folder or model), dtype=dtype, use_safetensors=True, local_files_only=folder is not None
        ),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def row_scheduler(own: Any, row: Row) -> Any:
    """A fresh scheduler for the row with the noise schedule of `own`, the model's. Raises ValueError naming the row.

    Nothing is clipped unless the model's own scheduler says so: the default of DDIM and DDPM suits pixels, not latents.
    """
    wanted = getattr(diffusers, row.scheduler)
    scheduler = wanted.from_config({"clip_sample": False, **own.config})
    if hasattr(scheduler, "alphas_cumprod") != hasattr(own, "alphas_cumprod"):  # diffusion or flow matching
        raise ValueError(
            f"row {row.name}: {row.scheduler} does not fit this model, which was made for {type(own).__name__}"
        )
    try:
        return scheduler if row.is_stock else steer(scheduler, row.steering)
    except (ValueError, TypeError) as error:
        raise ValueError(f"row {row.name}: {error}") from None


def generate(plan: ImagePlan, out: Path, progress: Callable[[int, int, str], None] = lambda *_: None) -> int:
    """Make the images of the plan that are not in `out` yet; returns how many were made.

    progress: called with (made, to make, row name), first with made = 0. Every refusal comes before the first image.
    Raises ValueError when `out` was made with other settings, naming them.
    """
    device = torch_device(plan.device)
    pipeline = load_pipeline(plan.model, DTYPES[plan.dtype])
    schedulers = {row: row_scheduler(pipeline.scheduler, row) for row in plan.rows}
    _claim(out, plan, pipeline)
    pipeline = pipeline.to(device)
    work = [(row, batch, _missing(plan, out, row, batch)) for row in plan.rows for batch in plan.batches()]
    made, to_make = 0, sum(len(missing) for *_, missing in work)
    progress(made, to_make, "")
    for row, batch, missing in work:
        if not missing:
            continue
        pipeline.scheduler = schedulers[row]
        images = pipeline(
            prompt=[plan.prompts[prompt] for prompt, _ in batch],
            num_inference_steps=plan.steps,
            guidance_scale=row.guidance,
            height=plan.height,
            width=plan.width,
            generator=[noise_generator(plan.seed, prompt, image) for prompt, image in batch],
        ).images
        for place in missing:
            data = io.BytesIO()
            images[batch.index(place)].save(data, format="PNG")
            write_whole(plan.image_path(out, row, *place), data.getvalue())
        made += len(missing)
        progress(made, to_make, row.name)
    return made


def _missing(plan: ImagePlan, out: Path, row: Row, batch: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [place for place in batch if not plan.image_path(out, row, *place).is_file()]


def _claim(out: Path, plan: ImagePlan, pipeline: Any) -> None:
    """Make the folders and write the manifest, or check the one that is there; further rows may join it."""
    path = out / "run.json"
    manifest = _manifest(plan, pipeline)
    if path.is_file():
        earlier = _read_manifest(path)
        # A row without images binds nobody: its run was refused, or stopped, before the first one.
        made = {slug: row for slug, row in earlier["rows"].items() if any((out / slug).glob("*.png"))}
        if made:
            _refuse_other_settings(path, {**earlier, "rows": made}, manifest)
        manifest["rows"] = {**made, **manifest["rows"]}
    elif out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no run.json: not a folder of this command; give another --out")
    for slug in manifest["rows"]:
        (out / slug).mkdir(parents=True, exist_ok=True)
        for leftover in (out / slug).glob(".*.tmp"):  # of a run that was killed while it wrote
            leftover.unlink()
    write_whole(path, json.dumps(manifest, indent=1).encode() + b"\n")


def _manifest(plan: ImagePlan, pipeline: Any) -> dict[str, Any]:
    """The settings that decide the images, the rows, and what they are made with, as they are read back from JSON."""
    given = asdict(plan)
    model, prompts, rows = given.pop("model"), given.pop("prompts"), given.pop("rows")
    settings = {
        "weights_sha256": weights_sha256(pipeline),
        "scheduler_config": {name: v for name, v in pipeline.scheduler.config.items() if not name.startswith("_")},
        "prompts_sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        "prompts": len(prompts),
        **given,
    }
    by_slug = {row.slug: fields for row, fields in zip(plan.rows, rows, strict=True)}
    made_with = {"model": model, **environment()}
    result: dict[str, Any] = json.loads(json.dumps({"settings": settings, "rows": by_slug, "made_with": made_with}))
    return result


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return {"settings": dict(manifest["settings"]), "rows": dict(manifest["rows"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the manifest of this command ({error}); give another --out") from None


def _refuse_other_settings(path: Path, earlier: dict[str, Any], manifest: dict[str, Any]) -> None:
    pairs = {name: (earlier["settings"].get(name), value) for name, value in manifest["settings"].items()}
    for slug in set(earlier["rows"]) & set(manifest["rows"]):
        there, here = earlier["rows"][slug], manifest["rows"][slug]
        pairs.update({f"row {slug}: {name}": (there.get(name), value) for name, value in here.items()})
    if different := [f"{name} {there} there, {here} now" for name, (there, here) in pairs.items() if there != here]:
        raise ValueError(f"{path} was made with other settings: {'; '.join(different)}. Give another --out")

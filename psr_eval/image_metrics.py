"""Figures of the image table: those of the networks whose weights are on disk, and two that need no weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from psr_core.devices import torch_device
from psr_eval.clip_scores import ClipScorer, diversity, text_agreement
from psr_eval.frechet import Inception, Statistics, frechet_distance, frechet_standard_error
from psr_eval.image_files import Pixels, fitted, read_pixels, reference_pictures
from psr_eval.image_generation import ImagePlan
from psr_eval.image_rows import Row

Array = NDArray[np.float64]

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
NAMES = {"fid": "FID", "clip_fd": "FD (CLIP)", "clip": "CLIP", "diversity": "diversity"}  # what needs weights


@dataclass(frozen=True)
class Weights:
    """The foreign files that some figures need, each as given on the command line or None."""

    inception: Path | None = None
    reference: Path | None = None
    clip: Path | None = None

    def lacks(self, plan: ImagePlan) -> dict[str, str]:
        """For each of NAMES that cannot be measured on the rows of a plan the reason, naming files."""
        few = f"{plan.images} image a row, and it needs 2 or more" if plan.images < 2 else None
        one = "1 image a prompt, and it needs 2 or more" if plan.images_per_prompt < 2 else None
        inception, reference, clip = self._inception_lacks(), self._reference_lacks(), self.clip_lacks()
        reasons = {
            "fid": few or _missing(inception, reference),
            "clip_fd": few or _missing(clip, reference),
            "clip": _missing(clip),
            "diversity": one or _missing(clip),
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def _inception_lacks(self) -> str | None:
        if self.inception is not None and self.inception.is_file():
            return None
        return (
            f"the Inception network ({_looked_for('--inception FILE', self.inception)}; TorchScript, "
            "inception-2015-12-05.pt of StyleGAN2-ADA and clean-fid)"
        )

    def _reference_lacks(self) -> str | None:
        if self.reference is not None and len(reference_pictures(self.reference)) > 1:
            return None
        looked = _looked_for("--reference FOLDER", self.reference)
        return f"real images ({looked}; two or more png, jpg, webp or bmp)"

    def clip_lacks(self) -> str | None:
        """Why there is no CLIP model, naming the folder; None when it is there."""
        if self.clip is not None and (self.clip / "config.json").is_file() and any(self.clip.glob("*.safetensors")):
            return None
        return (
            f"the CLIP model ({_looked_for('--clip FOLDER', self.clip)}; a transformers folder such as "
            "openai/clip-vit-large-patch14 with config.json, *.safetensors, the tokenizer and preprocessor_config.json)"
        )


def _looked_for(option: str, path: Path | None) -> str:
    return f"{option} not given" if path is None else f"{option} is {path}, and it is not there"


def _missing(*what: str | None) -> str | None:
    named = ", and ".join(filter(None, what))
    return f"missing: {named}" if named else None


@dataclass(frozen=True)
class Figures:
    """What was measured on the images of one row. None: not measured; `Measured.missing` says why.

    high_frequency: mean squared Laplacian of the luminance in [0, 1]. distance_to_stock: mean absolute difference of
    pixels in [0, 1] to the row named `stock`. black: images that are black throughout, as a safety checker leaves them.
    fid: in Inception's features; clip_fd: the same distance in the CLIP model's image features. clip: CLIP score.
    diversity: mean of 1 - cosine of the CLIP model's image features over pairs of images of the same prompt.
    Standard errors are over prompts, None for a single prompt.
    """

    row: Row
    n: int
    black: int
    high_frequency: float
    stock: str | None
    distance_to_stock: float | None
    fid: float | None = None
    clip_fd: float | None = None
    clip_fd_standard_error: float | None = None
    clip: float | None = None
    clip_standard_error: float | None = None
    diversity: float | None = None
    diversity_standard_error: float | None = None


@dataclass(frozen=True)
class Measured:
    """The figures of all rows, the number of reference images, and for each figure that is missing the reason.

    features: by name (fid, clip_fd), of how many features a Fréchet distance is.
    """

    rows: list[Figures]
    references: int | None
    missing: dict[str, str]
    features: dict[str, int] = field(default_factory=dict)


class Judges:
    """The networks that measure images, those that the weights are there for, with the reference images' statistics.

    like: an image of the size that reference images are cut and resized to.
    """

    def __init__(self, weights: Weights, missing: dict[str, str], like: Pixels, device: torch.device) -> None:
        self.missing, self.real = missing, dict[str, Statistics]()
        self.inception = None if "fid" in missing else Inception(_given(weights.inception), device)
        self.clip = None if "clip" in missing else ClipScorer(_given(weights.clip), device)
        real = reference_pictures(weights.reference) if weights.reference else []
        if self.inception is not None:
            self.real["fid"] = self.inception.statistics(fitted(real, like.shape[:2]))
        if self.clip is not None and "clip_fd" not in missing:
            self.real["clip_fd"] = Statistics.of(self.clip.image_features(fitted(real, like.shape[:2])))

    def fid(self, paths: Sequence[Path]) -> float | None:
        """Of the images of a row."""
        if self.inception is None:
            return None
        return frechet_distance(self.real["fid"], self.inception.statistics(map(read_pixels, paths)))

    def of_clip(self, paths: Sequence[Path], prompts: Sequence[str]) -> dict[str, float | None]:
        """Fields of Figures for the images of a row: as many for each prompt, those of a prompt one after the other."""
        if self.clip is None:
            return {}
        features = self.clip.image_features(map(read_pixels, paths)).reshape(len(prompts), -1, self.clip.dimension)
        texts = np.broadcast_to(self.clip.text_features(prompts)[:, None], features.shape)
        # The images of a prompt are not independent, the prompts are.
        of_prompts = {"clip": text_agreement(features, texts).mean(axis=1)}
        if "diversity" not in self.missing:
            of_prompts["diversity"] = diversity(features)
        found: dict[str, float | None] = {}
        for name, values in of_prompts.items():
            found[name], found[f"{name}_standard_error"] = mean_and_standard_error(values)
        if "clip_fd" in self.real:
            real, drawn = self.real["clip_fd"], Statistics.of(features.reshape(-1, self.clip.dimension))
            found["clip_fd"] = frechet_distance(real, drawn)
            found["clip_fd_standard_error"] = frechet_standard_error(real, features)
        return found


def _given(path: Path | None) -> Path:
    assert path is not None, "Weights.lacks() names what is not given"
    return path


def measure(
    plan: ImagePlan, out: Path, weights: Weights, progress: Callable[[int, int, str], None] = lambda *_: None
) -> Measured:
    """Measure the complete images of a plan in `out`. progress: called with (rows done, rows, what is measured)."""
    missing = weights.lacks(plan)
    progress(0, len(plan.rows), "reference images")
    like = read_pixels(plan.image_paths(out, plan.rows[0])[0])
    judges = Judges(weights, missing, like, torch_device(plan.device))
    rows = []
    for done, row in enumerate(plan.rows):
        progress(done, len(plan.rows), row.name)
        paths = plan.image_paths(out, row)
        stock = baseline(row, plan.rows)
        others = None if stock is None else plan.image_paths(out, stock)
        rows.append(
            Figures(
                row,
                n=len(paths),
                black=sum(not read_pixels(path).any() for path in paths),
                high_frequency=_mean(high_frequency(read_pixels(path)) for path in paths),
                stock=None if stock is None else stock.name,
                distance_to_stock=None if others is None else _mean(map(_distance_of_files, paths, others)),
                fid=judges.fid(paths),
                **judges.of_clip(paths, plan.prompts),
            )
        )
    counts = {real.n for real in judges.real.values()}
    features = {name: len(real.mean) for name, real in judges.real.items()}
    return Measured(rows, max(counts, default=None), missing, features)


def baseline(row: Row, rows: Sequence[Row]) -> Row | None:
    """The stock row that a row is compared with, image by image: the same scheduler and noise.

    A steered row has the same guidance as its stock row; a stock row of another guidance has the first one.
    """
    stocks = [other for other in rows if other.is_stock and other.scheduler == row.scheduler]
    if row.is_stock:
        return None if stocks[0] == row else stocks[0]
    return next((other for other in stocks if other.guidance == row.guidance), None)


def high_frequency(pixels: Pixels) -> float:
    """Mean squared Laplacian (four neighbours, no border) of the luminance in [0, 1]. 0 for any linear ramp."""
    grey = pixels @ LUMINANCE / 255
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(np.mean(laplacian**2))


def pixel_distance(a: Pixels, b: Pixels) -> float:
    """Mean absolute difference of the pixels in [0, 1]."""
    return float(np.mean(np.abs(a.astype(np.float64) - b)) / 255)


def _distance_of_files(a: Path, b: Path) -> float:
    return pixel_distance(read_pixels(a), read_pixels(b))


def mean_and_standard_error(values: Array) -> tuple[float, float | None]:
    """Of independent values; the error is None for a single one."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

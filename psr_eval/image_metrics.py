"""Figures of the image table: FID and CLIP score where their weights are on disk, and two that need no weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from psr_core.devices import torch_device
from psr_eval.image_generation import ImagePlan
from psr_eval.image_rows import Row

Pixels = NDArray[np.uint8]  # (H, W, 3)
Array = NDArray[np.float64]
T = TypeVar("T")

FULL_RANK = 2048  # features of the Inception network: with fewer images the covariance is singular, FID far too high
BATCH = 16
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Weights:
    """The foreign files that FID and the CLIP score need, each as given on the command line or None."""

    inception: Path | None = None
    reference: Path | None = None
    clip: Path | None = None

    def fid_lacks(self, images: int) -> str | None:
        """Why there can be no FID of so many images a row, naming the files; None when all is there."""
        if images < 2:
            return f"{images} image a row, and FID needs 2 or more"
        reasons = []
        if self.inception is None or not self.inception.is_file():
            reasons.append(
                f"the Inception network ({_looked_for('--inception FILE', self.inception)}; TorchScript, "
                "inception-2015-12-05.pt of StyleGAN2-ADA and clean-fid)"
            )
        if self.reference is None or len(pictures_in(self.reference)) < 2:
            reasons.append(
                f"real images ({_looked_for('--reference FOLDER', self.reference)}; two or more png, jpg, webp or bmp)"
            )
        return f"missing: {', and '.join(reasons)}" if reasons else None

    def clip_lacks(self) -> str | None:
        """Why there can be no CLIP score, naming the folder; None when it is there."""
        if self.clip is not None and (self.clip / "config.json").is_file() and any(self.clip.glob("*.safetensors")):
            return None
        return (
            f"missing: the CLIP model ({_looked_for('--clip FOLDER', self.clip)}; a transformers folder such as "
            "openai/clip-vit-large-patch14 with config.json, *.safetensors, the tokenizer and preprocessor_config.json)"
        )


def _looked_for(option: str, path: Path | None) -> str:
    return f"{option} not given" if path is None else f"{option} is {path}, and it is not there"


@dataclass(frozen=True)
class Figures:
    """What was measured on the images of one row. None: not measured; `Measured.missing` says why.

    high_frequency: mean squared Laplacian of the luminance in [0, 1]. distance_to_stock: mean absolute difference of
    pixels in [0, 1] to the row named `stock`. clip_standard_error: over prompts. black: images that are black
    throughout, as a safety checker leaves them.
    """

    row: Row
    n: int
    black: int
    high_frequency: float
    stock: str | None
    distance_to_stock: float | None
    fid: float | None = None
    clip: float | None = None
    clip_standard_error: float | None = None


@dataclass(frozen=True)
class Measured:
    """The figures of all rows, the number of reference images, and for each figure that is missing the reason."""

    rows: list[Figures]
    references: int | None
    missing: dict[str, str]


def measure(
    plan: ImagePlan, out: Path, weights: Weights, progress: Callable[[int, int, str], None] = lambda *_: None
) -> Measured:
    """Measure the complete images of a plan in `out`. progress: called with (rows done, rows, what is measured)."""
    device = torch_device(plan.device)
    missing = {
        name: why for name, why in (("fid", weights.fid_lacks(plan.images)), ("clip", weights.clip_lacks())) if why
    }
    inception, clip, real = None, None, None
    if "clip" not in missing and weights.clip is not None:
        clip = ClipScorer(weights.clip, device)
    if "fid" not in missing and weights.inception is not None and weights.reference is not None:
        progress(0, len(plan.rows), "reference images")
        inception = Inception(weights.inception, device)
        real = inception.statistics(
            fitted(pictures_in(weights.reference), read_pixels(plan.image_paths(out, plan.rows[0])[0]).shape[:2])
        )
    rows = []
    for done, row in enumerate(plan.rows):
        progress(done, len(plan.rows), row.name)
        paths = plan.image_paths(out, row)
        fid, score, error = None, None, None
        if inception is not None and real is not None:
            fid = frechet_distance(real, inception.statistics(map(read_pixels, paths)))
        if clip is not None:
            prompts = [prompt for prompt in plan.prompts for _ in range(plan.images_per_prompt)]
            scores = clip.scores(map(read_pixels, paths), prompts).reshape(-1, plan.images_per_prompt)
            score, error = mean_and_standard_error(scores.mean(axis=1))  # the images of a prompt are not independent
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
                fid=fid,
                clip=score,
                clip_standard_error=error,
            )
        )
    return Measured(rows, None if real is None else real.n, missing)


def baseline(row: Row, rows: Sequence[Row]) -> Row | None:
    """The stock row that a row is compared with, image by image: the same scheduler and noise.

    A steered row has the same guidance as its stock row; a stock row of another guidance has the first one.
    """
    stocks = [other for other in rows if other.is_stock and other.scheduler == row.scheduler]
    if row.is_stock:
        return None if stocks[0] == row else stocks[0]
    return next((other for other in stocks if other.guidance == row.guidance), None)


def read_pixels(path: Path) -> Pixels:
    """An image file as uint8 (H, W, 3). Raises OSError naming the file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


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


class Statistics(NamedTuple):
    """Mean (D,) and covariance (D, D), both float64, of n features."""

    mean: Array
    covariance: Array
    n: int


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½): FID, when the features are Inception's. At least 0.

    With A = C_a^½ the last trace is that of (A C_b A)^½, which is symmetric, so singular covariances (few images) are
    no trouble. Source: "GANs trained by a two time-scale update rule" (arXiv 1706.08500), equation 6.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ b.covariance @ root)
    traces = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(product.clip(0)).sum()
    return float(max(0.0, np.sum((a.mean - b.mean) ** 2) + traces))


class Inception:
    """The TorchScript Inception network of FID. It is called with uint8 (N, 3, H, W) and return_features=True, resizes
    and normalises by itself, and returns (N, 2048)."""

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            self._network = torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} is no TorchScript file ({reason}); give inception-2015-12-05.pt") from None
        self._device = device

    @torch.no_grad()
    def statistics(self, images: Iterable[Pixels]) -> Statistics:
        """Mean and covariance of the features of two or more images of one size."""
        features = []
        for batch in batched(images):
            pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).to(self._device)
            features.append(self._network(pixels, return_features=True).double().cpu().numpy())
        every = np.concatenate(features)
        return Statistics(every.mean(axis=0), np.atleast_2d(np.cov(every, rowvar=False)), len(every))


class ClipScorer:
    """CLIP score, 100 times the cosine between image and text embeddings, with a CLIPModel folder of transformers."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self._model: Any = CLIPModel.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
        self._model = self._model.to(device).eval()
        self._processor = CLIPProcessor.from_pretrained(str(folder), local_files_only=True)
        self._device = device

    @torch.no_grad()
    def scores(self, images: Iterable[Pixels], prompts: Sequence[str]) -> Array:
        """One score an image, (N,). Prompts are cut at the text encoder's length (77 tokens)."""
        length = self._model.config.text_config.max_position_embeddings
        scores = []
        for batch in batched(zip(images, prompts, strict=True)):
            pictures, texts = zip(*batch, strict=True)
            inputs = self._processor(
                images=list(pictures),
                text=list(texts),
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=length,
            )
            found = self._model(**inputs.to(self._device))
            scores.append(100 * (found.image_embeds * found.text_embeds).sum(-1).double().cpu().numpy())
        return np.concatenate(scores)


def batched(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of `size` items, the last one of what is left."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def pictures_in(folder: Path) -> list[Path]:
    """The image files in and below a folder, in order of name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def fitted(paths: Iterable[Path], size: tuple[int, int]) -> Iterator[Pixels]:
    """Image files, cut at the centre to the shape of `size` (H, W) and resized to it."""
    for path in paths:
        with Image.open(path) as image:
            yield np.asarray(ImageOps.fit(image.convert("RGB"), size[::-1], Image.Resampling.LANCZOS))

"""Steering on Gaussian mixtures, where the target p̄_k is known: what each method draws, mode by mode.

A cell is one method under one setting. Its noise is addressed by (seed, chunk): all cells of a seed start from the same
noise, and a result depends neither on workers nor on what ran before. Source: thesis, sections 1.3 and A.2.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psr_core import autoregressive, integrators, mixtures, predictions, samplers, seeds, steering
from psr_core.autoregressive import sample_temperature_scaled
from psr_core.mixtures import GaussianMixture, NamedMixture
from psr_core.samplers import cosine_levels, sample_ancestral, sample_ode
from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_eval.kept import KeptResults

KS = (10.0, 0.25)
STEPS = (5, 10, 20, 50, 100, 500)
SAMPLERS = ("exact", "ar", "ddim", "ddpm")
CHUNK = 16_384  # samples at a time: what fits into a core's cache
FEWEST = 10  # samples of a mode below which no covariance is given


@dataclass(frozen=True)
class Cell:
    """One method under one setting, to be compared with p̄_k for k = `target_k`.

    sampler: "exact" draws from p̄_k itself, "ar" from the temperature-scaled autoregressive model (τ = target_k), both
    in no steps and unsteered; "ddim" (the ODE, by steering.integrator) and "ddpm" take `steps` steps on cosine levels.
    """

    source: NamedMixture
    sampler: str
    target_k: float
    steering: Steering | None
    steps: int
    n: int
    seed: int

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler is {self.sampler!r}, expected one of: {', '.join(SAMPLERS)}")
        if (self.steering is None) != (self.sampler in ("exact", "ar")):
            raise ValueError(f"steering is {self.steering} with sampler {self.sampler}, expected it with ddim and ddpm")
        if self.n < 1:
            raise ValueError(f"samples is {self.n}, expected 1 or more")

    @property
    def method(self) -> str:
        """Name for tables and pictures, such as "PSR + gaussian2"."""
        if self.steering is None:
            return {"exact": "exact p̄_k", "ar": "AR"}[self.sampler]
        if self.steering.method in ("nns", "nes"):
            return self.steering.method.upper()
        if self.steering.is_identity:
            return self.sampler.upper()
        extras = [self.steering.integrator] * (self.steering.integrator != "plain") + ["cap"] * self.steering.cap
        return " + ".join(["PSR", *extras])

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as plain values: two cells with equal settings draw the same samples."""
        mixture = self.source.mixture
        return {
            "mixture": self.source.name,
            "mixture_parameters": {
                name: getattr(mixture, name).tolist() for name in ("weights", "means", "covariances")
            },
            "method": self.method,
            "sampler": self.sampler,
            "target_k": self.target_k,
            "steering": self.steering and self.steering.to_dict(),
            "steps": self.steps,
            "levels": "cosine",
            "dtype": "float32" if self.steering else "float64",
            "n": self.n,
            "seed": self.seed,
            "code": code_digest(),
        }


@dataclass(frozen=True)
class ModeResult:
    """The samples of one mode. Errors are standard errors; what too few samples cannot tell is None.

    trace_ratio: trace of their covariance over that of the same mode of p̄_k; 1 is the target.
    """

    n: int
    weight: float
    weight_error: float
    mean: list[float] | None
    covariance: list[list[float]] | None
    trace_ratio: float | None
    trace_ratio_error: float | None


@dataclass(frozen=True)
class Result:
    """What a cell drew. lost: samples that are not finite; they belong to no mode. seconds: of one core."""

    settings: dict[str, Any]
    modes: tuple[ModeResult, ...]
    lost: int
    seconds: float

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Result:
        """The inverse of dataclasses.asdict."""
        modes = tuple(ModeResult(**mode) for mode in fields["modes"])
        return cls(fields["settings"], modes, fields["lost"], fields["seconds"])


@cache
def code_digest() -> str:
    """Digest of the modules that the samples come from: results of older code are not taken for new ones."""
    modules = (autoregressive, integrators, mixtures, predictions, samplers, seeds, steering)
    parts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"\0".join([*parts, Path(__file__).read_bytes()])).hexdigest()[:16]


def table_cells(source: NamedMixture, n: int, seed: int) -> list[Cell]:
    """The cells of a mixture's table: k of KS with every method, then the stock samplers at k = 1."""

    def cell(sampler: str, k: float, dial: Steering | None, steps: int) -> Cell:
        return Cell(source, sampler, k, dial, steps, n, seed)

    cells = []
    for k in KS:
        cells += [cell("exact", k, None, 0), cell("ar", k, None, 0)]
        psr = [dict(), dict(integrator="gaussian"), dict(integrator="gaussian2"), dict(cap=True)]
        dials = [("ddpm", dict(method="nns")), ("ddim", dict(method="nes")), *(("ddim", fields) for fields in psr)]
        cells += [
            cell(sampler, k, Steering(k=k, sigma=source.sigma, **fields), steps)
            for sampler, fields in dials
            for steps in STEPS
        ]
    stock = Steering(method="none", sigma=source.sigma)
    cells += [cell("exact", 1.0, None, 0)]
    return cells + [cell(sampler, 1.0, stock, steps) for sampler in ("ddim", "ddpm") for steps in STEPS]


def draw(cell: Cell) -> Tensor:
    """The samples of a cell, (n, 2) float64; not finite where the sampler diverged."""
    chunks = range(0, cell.n, CHUNK)
    return torch.cat([_draw_chunk(cell, min(CHUNK, cell.n - start), start // CHUNK) for start in chunks])


def _draw_chunk(cell: Cell, n: int, chunk: int) -> Tensor:
    mixture, generator = cell.source.mixture, noise_generator(cell.seed, chunk, 0)
    if cell.sampler == "exact":
        return mixture.sharpened(cell.target_k).sample(n, generator)
    if cell.steering is None:
        return sample_temperature_scaled(mixture, cell.target_k, n, generator)
    noise = torch.randn(n, mixture.dim, generator=generator)
    denoiser, levels = mixture.denoiser(), cosine_levels(cell.steps)
    if cell.sampler == "ddim":
        return sample_ode(denoiser, noise, levels, cell.steering).double()
    return sample_ancestral(denoiser, noise, levels, cell.steering, generator).double()


def assign(x: Tensor, target: GaussianMixture) -> tuple[Tensor, Tensor]:
    """The finite samples, and for each the mode most likely to have drawn it under the target, (N', 2) and (N',).

    The target's own responsibilities, and not the distance to its centre, give a wide mode what lies in its tail.
    """
    x = x[x.isfinite().all(dim=1)]
    return x, target.responsibilities(x).argmax(dim=1)


def compare(x: Tensor, target: GaussianMixture) -> tuple[ModeResult, ...]:
    """Samples (N, D), not all need be finite, against the target, mode by mode. Weights are shares of all N."""
    finite, mode = assign(x, target)
    return tuple(_mode_result(finite[mode == i], len(x), target.covariances[i]) for i in range(len(target.weights)))


def _mode_result(x: Tensor, total: int, covariance: Tensor) -> ModeResult:
    weight = len(x) / total
    error = (weight * (1 - weight) / total) ** 0.5
    if len(x) < FEWEST:
        return ModeResult(len(x), weight, error, None, None, None, None)
    mean, trace = x.mean(0), float(covariance.trace())
    squares = (x - mean).square().sum(1)
    found = x.mT.cov()
    return ModeResult(
        len(x),
        weight,
        error,
        mean.tolist(),
        found.tolist(),
        float(found.trace()) / trace,
        float(squares.std()) / len(x) ** 0.5 / trace,
    )


def run_cell(cell: Cell) -> Result:
    """Draw a cell's samples and compare them with its target."""
    started = time.thread_time()
    x = draw(cell)
    modes = compare(x, cell.source.mixture.sharpened(cell.target_k))
    lost = cell.n - sum(mode.n for mode in modes)
    return Result(cell.settings(), modes, lost, round(time.thread_time() - started, 3))


def run_cells(
    cells: Sequence[Cell], kept: Path, workers: int, report: Callable[[str], None] = lambda text: None
) -> list[Result]:
    """Results of the cells, in their order. What `kept` (JSON lines) holds already is not run again; new ones join it.

    workers: threads, of one core each. report is given a line about once a second. Ctrl-C keeps what is done.
    """
    results = KeptResults(kept)
    missing = [cell for cell in cells if results.get(cell.settings()) is None]
    started = last = time.monotonic()
    done, total = 0.0, sum(map(_work, missing))
    for number, (cell, result) in enumerate(zip(missing, in_threads(run_cell, missing, workers), strict=True), 1):
        results.add(result.settings, asdict(result))
        done += _work(cell)
        now = time.monotonic()
        if now - last > 1 or number == len(missing):
            report(f"{number}/{len(missing)} cells, {(now - started) * (total - done) / done:.0f} s left")
            last = now
    return [Result.from_dict(results.get(cell.settings())) for cell in cells]


def in_threads(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """function(job) of each job, in order. Threads do: torch leaves Python's lock while it computes."""
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(function, jobs)


def _work(cell: Cell) -> float:
    """Rough cost, in steps of all samples; the others cost as much as some tens of steps."""
    return cell.n * (cell.steps or 50)

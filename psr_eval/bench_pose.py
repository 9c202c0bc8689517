"""How many rotations a second are sampled of one image, and what the parts of a frame of the pose node take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from psr_core import so3
from psr_core.devices import set_threads
from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import power_steps, sample_so3
from psr_core.steering import Steering
from psr_perception.pose.modes import StablePose, find_modes
from psr_perception.pose.network import PoseConfig, PoseNetwork
from psr_perception.pose.raycaster import render
from psr_perception.pose.settings import PoseSettings
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import named_symmetry

WARM_UP = 1  # frames that pay for caches
PARTS = ("encode", "sample", "find_modes", "stable pose")
TURN = 0.03  # rad from frame to frame


@dataclass(frozen=True)
class PoseTiming:
    """Milliseconds over n frames. what: one of PARTS, or "frame", which is all of them together.

    rate: rotations a second at the median, of "sample" only.
    """

    steps: int
    what: str
    n: int
    p5: float
    p50: float
    p95: float
    rate: float | None = None


def random_network(seed: int = 0) -> PoseNetwork:
    """The embedded network with random weights: it takes as long as a trained one, its samples agree on little."""
    torch.manual_seed(seed)
    network = PoseNetwork(PoseConfig()).eval()
    torch.nn.init.normal_(network.head.out.weight, std=0.1)  # a new network's last layer is 0
    return network


def bench_pose(
    network: PoseNetwork,
    steps: Sequence[int] = (100, 50, 20, 10),
    samples: int = 1000,
    *,
    shape: str = "cube",
    repeats: int = 10,
    threads: int = 1,
    report: Callable[[PoseTiming], None] = lambda timing: None,
) -> list[PoseTiming]:
    """Times what PoseEstimator and PoseRunner do with a picture of a solid, part by part; the steps take turns.

    The picture turns from frame to frame. Raises ValueError for a shape that is unknown, and for steps, samples,
    repeats or threads below 1.
    """
    if shape not in SOLIDS:
        raise ValueError(f"shape is {shape!r}, expected one of: {', '.join(SOLIDS)}")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, expected 1 or more")
    settings = [PoseSettings(count, samples=samples) for count in steps]
    set_threads(threads)
    taken: dict[int, list[list[float]]] = {count: [] for count in steps}
    stable = StablePose(named_symmetry(shape))
    for turn in range(repeats + WARM_UP):
        image = _image(shape, turn, network)
        for each in settings:
            parts = _frame(network, image, each, stable)
            if turn >= WARM_UP:
                taken[each.num_inference_steps].append(parts)
    return [timing for count in steps for timing in _timings(count, samples, taken[count], report)]


def _image(shape: str, turn: int, network: PoseNetwork) -> torch.Tensor:
    rotation = so3.exp(torch.tensor([[0.3, 0.2, TURN * turn]]))
    return render(SOLIDS[shape], rotation, network.config.image_size).to(next(network.parameters()).device)


@torch.no_grad()
def _frame(network: PoseNetwork, image: torch.Tensor, settings: PoseSettings, stable: StablePose) -> list[float]:
    """Milliseconds of PARTS: what PoseNetwork.sample, PoseEstimator.estimate and PoseRunner.step do, in their order."""
    moments = [_now(image)]
    features = network.encode(image)
    moments.append(_now(image))
    generators = [noise_generator(settings.seed, 0, 0)]
    start = so3.random_rotations((1, settings.samples), generators, image.dtype, image.device)
    steps = power_steps(settings.num_inference_steps)
    found = sample_so3(network.denoiser(features), start, steps, Steering(), settings.eta, generators)
    rotations = found[0].cpu().double()
    moments.append(_now(image))
    modes = find_modes(rotations, stable.symmetry, settings.radius)
    moments.append(_now(image))
    chosen = stable.choose(modes, settings.radius)
    if chosen is not None:
        stable.update(modes[chosen].rotation)
    moments.append(_now(image))
    return [float(1000 * part) for part in np.diff(moments)]


def _now(image: torch.Tensor) -> float:
    """Seconds, when all that was asked of the image's device is done."""
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)
    return time.perf_counter()


def _timings(
    steps: int, samples: int, taken: list[list[float]], report: Callable[[PoseTiming], None]
) -> list[PoseTiming]:
    columns = dict(zip(PARTS, np.array(taken).T, strict=True)) | {"frame": np.array(taken).sum(-1)}
    timings = []
    for what, values in columns.items():
        low, middle, high = (float(q) for q in np.percentile(values, [5, 50, 95]))
        rate = 1000 * samples / middle if what == "sample" else None
        timings.append(PoseTiming(steps, what, len(taken), low, middle, high, rate))
        report(timings[-1])
    return timings

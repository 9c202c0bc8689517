"""What the distillation toys know of a density: all of it, samples of it, or what a network learned from samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from psr_core.distillation.learned import LearnedPrior, PriorSettings, PriorTrainer
from psr_core.distillation.prior import GaussianMixturePrior, Prior, SampleSetPrior
from psr_core.files import git_revision
from psr_core.mixtures import GaussianMixture
from psr_core.seeds import noise_generator
from psr_core.training_run import TrainingRun
from psr_eval.distillation_rows import LEVELS

PRIORS = ("exact", "samples", "learned")
TRAINING_SAMPLES, IDEAL_SAMPLES, VALIDATION_SAMPLES = 50_000, 1000, 4000
TRUTH_NOISE, PRIOR_NOISE, ROW_NOISE = range(3)  # what generators() are for


def generator(seed: int, use: int) -> torch.Generator:
    """Random numbers of a run's seed, for one of the uses above."""
    return noise_generator(seed, use, 0)


class ToyTrainer(PriorTrainer):
    """Learns a density's noise prediction; validated by the root mean square distance to the exact one, at noise ratios
    as in training: 0 is perfect, and before training it is about 0.3, that of a normal distribution's."""

    def __init__(self, settings: PriorSettings, mixture: GaussianMixture) -> None:
        self.mixture = mixture
        samples = mixture.sample(TRAINING_SAMPLES, generator(settings.seed, PRIOR_NOISE))
        super().__init__(settings, samples, None, LEVELS)

    @property
    def identity(self) -> dict[str, Any]:
        """What a run resumes with only if it is the same."""
        parts = ("weights", "means", "covariances")
        return {name: round(float(getattr(self.mixture, name).double().norm()), 9) for name in parts}

    def prior(self) -> LearnedPrior:
        """What was learned so far, by its averaged weights."""
        network: Any = self.averaged_network
        return LearnedPrior(network.requires_grad_(False).eval(), LEVELS, self.mixture.dim)

    @torch.no_grad()
    def validation_loss(self) -> float:
        noise = noise_generator(self.settings.seed, PRIOR_NOISE, 1)
        exact, learned = GaussianMixturePrior(self.mixture, LEVELS), LearnedPrior(self.averaged_network, LEVELS, 2)
        low, high = LEVELS.ratio(1), LEVELS.ratio(LEVELS.last)
        squares = []
        for share in (torch.arange(20) + 0.5) / 20:
            t = LEVELS.time(low ** (1 - float(share)) * high ** float(share))
            level = LEVELS.level(t)
            clean = self.mixture.sample(VALIDATION_SAMPLES // 20, noise).float()
            x = level.alpha * clean + level.sigma_t * torch.randn(clean.shape, generator=noise)
            squares.append((exact.noise(x, t, {}) - learned.noise(x, t, {})).square().mean())
        return float(torch.stack(squares).mean().sqrt())


def learned_prior(
    mixture: GaussianMixture, folder: Path, settings: PriorSettings, say: Callable[[str], None]
) -> tuple[LearnedPrior, float]:
    """The prior learned in `folder`, trained now where it is not finished there, and its validation loss.

    Ctrl-C loses some seconds of it. Raises ValueError where the folder holds one of other settings.
    """
    trainer = ToyTrainer(settings, mixture)
    card = {"data": trainer.identity, "made_with": {"git_revision": git_revision()}}
    run = TrainingRun(trainer, folder, card, lambda out, card: None, resume=True)
    run.train(report=say, save_seconds=5.0, log_every=200, validate_every=settings.steps)
    return trainer.prior(), run.metrics["valid_loss"]


def known_prior(kind: str, mixture: GaussianMixture, seed: int) -> Prior:
    """The prior "exact", or that of IDEAL_SAMPLES "samples"."""
    if kind == "exact":
        return GaussianMixturePrior(mixture, LEVELS)
    return SampleSetPrior(mixture.sample(IDEAL_SAMPLES, generator(seed, PRIOR_NOISE)).float(), LEVELS)

"""The denoiser's training: the right target, repeatable, resumable."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from psr_core.latent_training import LatentTrainSettings
from psr_perception.depth.denoiser_training import DepthDenoiserTrainer
from tests.resumption import check_resumed_equals_uninterrupted


@pytest.fixture
def make_trainer():
    latents, judged = (tuple(torch.randn(count, 4, 6, 8) for _ in range(2)) for count in (20, 5))

    def make(**settings) -> DepthDenoiserTrainer:
        wanted = {"steps": 12, "batch_size": 4, "lr": 1e-3, "warmup_steps": 2, "precision": "float32", **settings}
        return DepthDenoiserTrainer((16, 32), 1, LatentTrainSettings(**wanted), latents, judged, torch.zeros(1, 2, 32))

    torch.manual_seed(0)
    return make


def test_the_target_is_what_the_scheduler_expects(make_trainer):
    """With the true v for a network the loss is zero."""
    trainer = make_trainer()
    image, depth = (latents[:4] for latents in trainer.latents)

    class Oracle(torch.nn.Module):
        def forward(self, noisy, timesteps, text):
            assert torch.equal(noisy[:, :4], image)
            alpha_bar = trainer.alphas_cumprod[timesteps][:, None, None, None]
            noise = (noisy[:, 4:] - alpha_bar.sqrt() * depth) / (1 - alpha_bar).sqrt()
            return SimpleNamespace(sample=alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * depth)

    assert trainer.loss(Oracle(), torch.arange(4), judged=False).item() < 1e-6


def test_it_learns(make_trainer):
    trainer = make_trainer(steps=60)
    losses = [trainer.train_step() for _ in range(60)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_uninterrupted_one(make_trainer, precision):
    check_resumed_equals_uninterrupted(lambda: make_trainer(precision=precision))


def test_weights_stay_in_full_precision(make_trainer):
    trainer = make_trainer(precision="bfloat16")
    trainer.train_step()
    assert {parameter.dtype for parameter in trainer.network.parameters()} == {torch.float32}


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision is 'float8', expected one of: bfloat16, float32"):
        LatentTrainSettings(precision="float8")

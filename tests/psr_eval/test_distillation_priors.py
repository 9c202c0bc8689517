"""Priors of the distillation toys: learned on the spot, kept, and judged against the exact one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core.distillation.learned import PriorSettings
from psr_core.training_run import TrainingRun
from psr_eval.distillation_priors import known_prior, learned_prior
from psr_eval.planar_densities import spiral, standardised

# Two modes far apart: learned sooner than the densities of the toys.
MIXTURE = standardised(np.ones(2), np.array([[1.0, 0.5], [-1.0, -0.5]]), np.stack([0.02 * np.eye(2)] * 2))


def settings(steps=60):
    return PriorSettings(steps=steps, batch_size=128, width=64)


def weights(prior):
    return torch.cat([parameter.flatten() for parameter in prior.network.parameters()])


def test_more_steps_come_nearer_to_the_exact_noise(tmp_path):
    _, few = learned_prior(MIXTURE, tmp_path / "few", settings(5), print)
    _, more = learned_prior(MIXTURE, tmp_path / "more", settings(800), print)
    assert more < 0.5 * few


def test_what_is_learned_is_not_learned_again(tmp_path, monkeypatch):
    one, error = learned_prior(MIXTURE, tmp_path, settings(), print)
    monkeypatch.setattr("psr_core.training.NetworkTrainer.train_step", None)
    again, same = learned_prior(MIXTURE, tmp_path, settings(), print)
    assert torch.equal(weights(one), weights(again)) and error == same


def test_interrupted_it_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole, _ = learned_prior(MIXTURE, tmp_path / "whole", settings(), print)
    with monkeypatch.context() as patch:
        train = TrainingRun.train
        patch.setattr(
            TrainingRun, "train", lambda run, **options: train(run, should_stop=lambda: run.trainer.step == 25)
        )
        with pytest.raises(KeyError):  # no validation loss yet
            learned_prior(MIXTURE, tmp_path / "cut", settings(), print)
    resumed, _ = learned_prior(MIXTURE, tmp_path / "cut", settings(), print)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_folder_of_another_density_or_other_settings_is_refused(tmp_path):
    learned_prior(MIXTURE, tmp_path, settings(2), print)
    with pytest.raises(ValueError, match="holds a run with other config: "):
        learned_prior(spiral(), tmp_path, settings(2), print)
    with pytest.raises(ValueError, match="steps = 2, now 3"):
        learned_prior(MIXTURE, tmp_path, settings(3), print)


def test_known_priors_are_the_density_and_its_samples():
    x, t = MIXTURE.sample(200, torch.Generator().manual_seed(1)).float(), 700.0
    exact, ideal, other = (
        known_prior("exact", MIXTURE, 0),
        known_prior("samples", MIXTURE, 0),
        known_prior("samples", MIXTURE, 1),
    )
    off = (exact.noise(x, t, {}) - ideal.noise(x, t, {})).square().mean().sqrt()
    assert 0 < off < 0.1 and not torch.equal(ideal.samples, other.samples)

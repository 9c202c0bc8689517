"""The learned prior: near the exact noise, with and without its label, the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.learned import PriorSettings, train_prior
from tests.psr_core.distillation.toys import LEVELS, guided, isotropic, labelled, noise_like

MIXTURE = isotropic([[1.0, 0.5], [-1.0, -0.5]], 0.3)


def trained(steps):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (4000,), generator=generator)
    data = MIXTURE.means[labels] + 0.3 * noise_like(4000, seed=1)
    return train_prior(data, LEVELS, labels, PriorSettings(steps=steps, batch_size=256, width=64, unlabelled=0.4))


@pytest.fixture(scope="module")
def learned():
    return GuidedPrior(trained(800))


@pytest.mark.parametrize("label", [0, 1, -1])
@pytest.mark.parametrize("t", [300, 600, 900])
def test_is_near_the_exact_noise(learned, label, t):
    level, exact = LEVELS.level(t), guided(MIXTURE, [0, 1])
    clean = exact.prior.mixture(label).sample(1000, torch.Generator().manual_seed(2))
    x = level.alpha * clean + level.sigma_t * noise_like(1000, seed=3)
    prompt = labelled(label, 1000)
    off = learned.noise(x, t, prompt) - exact.noise(x, t, prompt)
    assert off.square().mean().sqrt() < 0.15 and off.dtype == torch.float64


def test_the_same_seed_trains_the_same_prior():
    one, two = trained(3), trained(3)
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True))


@pytest.mark.parametrize(("field", "value"), [("unlabelled", 1.5), ("width", 0), ("steps", 0)])
def test_refuses_settings(field, value):
    with pytest.raises(ValueError, match=field):
        PriorSettings(**{field: value})

"""The shipped image prior and its judge: their files are those of their cards, and they do what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.method import View
from psr_core.distillation.prior_folder import open_prior
from psr_core.distillation.sampling import sample_ddim
from psr_core.files import file_sha256

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.mark.parametrize("model", ["prior", "judge"])
def test_files_are_those_of_the_card(model):
    folder = MODELS / model
    digests = json.loads((folder / "card.json").read_text())["sha256"]
    assert set(digests) == {str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")}
    for name, digest in digests.items():
        assert file_sha256(folder / name) == digest


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_coloured_cube_has_that_colour_before_a_light_background(colour, channel):
    prior = open_prior(str(MODELS / "prior")).load("cpu")
    seeds = torch.arange(4)
    view = View(torch.zeros(4, *prior.shape), prior.prompt(f"a {colour} cube", 4), seeds, torch.zeros_like(seeds))
    with torch.no_grad():
        images = prior.decode(sample_ddim(GuidedPrior(prior), view, 10, 5.0))
    middle, corner = images[:, :, 24:40, 24:40].mean((0, 2, 3)), images[:, :, :6, :6].mean((0, 2, 3))
    others = [other for other in range(3) if other != channel]
    assert middle[channel] > middle[others].max() + 0.15
    assert corner.min() > 0.55 and corner.max() - corner.min() < 0.1

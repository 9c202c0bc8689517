"""Rows of distillation on images: as many calls for each, names that are used, what is refused before any call."""

from __future__ import annotations

import pytest
import torch

from psr_cli import reproduce_distillation_2d
from psr_core.distillation.picture_training import LEARNING_RATES
from psr_core.distillation.prior_folder import open_prior
from psr_eval.distillation_2d_rows import (
    DSD,
    GROUPS,
    INVERSION_CHANGES,
    LADDER_CHANGES,
    METHOD_ROWS,
    METHODS,
    STEERED,
    STEERING_CHANGES,
    Row,
    iterations,
    rows_of,
    trainer_of,
)
from tests.psr_core.distillation.tiny_priors import tiny_text_to_image

EVERY = {row.name: row for group in GROUPS.values() for row in group}
CALLS = 42


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


@pytest.mark.parametrize("name", ["SDS", "NFSD", "ESD", "SDI", "DSD", "DSD, as published", "MSD", "κ by SGD"])
def test_a_run_asks_for_all_its_calls_but_what_another_iteration_would_exceed(prior, name):
    steps = iterations(EVERY[name], prior, "a cat", CALLS)
    trainer = trainer_of(EVERY[name], prior, "a cat", steps, seeds=2)
    while trainer.step < steps:
        trainer.train_step()
    counted = trainer.guided.guided / 2
    assert counted <= CALLS and counted > CALLS - 1.5 * counted / steps - 2


@pytest.mark.parametrize("name", EVERY)
def test_every_row_is_counted_without_a_call_of_the_model(prior, name, monkeypatch):
    monkeypatch.setattr(prior.unet, "forward", None)
    assert iterations(EVERY[name], prior, "a cat", CALLS) >= 1


def test_samplers_take_one_step_a_call_or_those_they_are_told(prior):
    assert iterations(EVERY["DDPM"], prior, "a cat", 60) == 60
    assert iterations(EVERY["DDIM, 10 steps"], prior, "a cat", 60) == 10
    assert iterations(EVERY["DDIM"], prior, "a cat", 5000) == prior.levels.last


@pytest.mark.parametrize(
    ("row", "calls", "complaint"),
    [
        (Row("MSD", "msd"), 19, "19 calls are too few for MSD; one iteration costs 20"),
        (Row("X", "gan"), 50, "method is 'gan', expected one of: sds"),
        (Row("X", "sds", (("grid", 4),)), 50, "sds has no option grid"),
        (Row("X", "sds", (("times", "late"),)), 50, "options times is 'late', expected an object"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_call(prior, monkeypatch, row, calls, complaint):
    monkeypatch.setattr(prior.unet, "forward", None)
    with pytest.raises(ValueError, match=complaint):
        iterations(row, prior, "a cat", calls)


def test_plain_descent_by_rate_1_is_mean_shift(prior):
    trainer = trainer_of(Row("MSD", "msd", (("sampler_steps", 2),), rate=1.0), prior, "a cat", 3, seeds=2)
    view = trainer.run.scene.view(0).detached()
    mean = trainer.run.method.mean(view, 0)
    trainer.train_step()
    torch.testing.assert_close(trainer.picture.x.detach(), mean)


def test_names_tell_rows_apart_and_changes_name_rows():
    every = list(dict.fromkeys(row for group in GROUPS.values() for row in group))
    assert len(EVERY) == len(every) == len({str(row.settings()) for row in every})
    for pairs, group in (
        (STEERING_CHANGES, "methods"),
        (LADDER_CHANGES, "ladder"),
        (INVERSION_CHANGES, "inversion_steps"),
    ):
        assert {name for pair in pairs for name in pair} <= {row.name for row in GROUPS[group]}
    assert all(not row.steering.is_identity for row in STEERED) and DSD in METHOD_ROWS


def test_rows_are_those_asked_for_each_once():
    found = rows_of(["ladder", "methods"], ["ddim", "sdi", "sds"], "latent")
    assert len(set(found)) == len(found) and {row.method for row in found} == {"ddim", "sdi", "sds"}
    assert [row.name for row in rows_of(["methods"], ["msd"], "latent")] == [
        "MSD",
        "MSD, plain descent",
        "MSD, one call",
    ]
    assert [row.name for row in rows_of(["methods"], ["msd"], "mlp")] == ["MSD", "MSD, one call"]


def test_the_command_offers_what_there_is():
    command = reproduce_distillation_2d
    assert set(METHODS) == set(command.METHODS) and tuple(GROUPS) == command.GROUPS
    assert set(command.PICTURES) == set(LEARNING_RATES)

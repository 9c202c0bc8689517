"""Rows of distillation of objects: what each asks of a preset, and how long it may iterate."""

from __future__ import annotations

import pytest

from psr_cli import reproduce_mesh
from psr_core.distillation.prior_folder import open_prior
from psr_eval.mesh_rows import (
    DSD,
    GROUPS,
    METHOD_ROWS,
    METHODS,
    PUBLISHED,
    RANDOM,
    RECOMPUTED,
    SDS,
    VIEW_ROWS,
    iterations,
    preset_calls,
    reach,
    rows_of,
    settings_of,
)
from psr_mesh import settings
from psr_mesh.settings import VIEW_PROMPTS
from psr_mesh.training import MeshTrainer
from tests.psr_core.distillation.tiny_priors import tiny_text_to_image
from tests.psr_mesh.tiny_meshes import SMALL

ROWS = {row.name: row for row in METHOD_ROWS}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(settings.PRESETS, "quick", {**SMALL, "options": {"grid": 5}, "guidance": 3.0, "lr": 0.1})


@pytest.mark.parametrize("name", ["SDS", "DSD", "DSD, nothing kept", "VSD", "SDI"])
def test_as_many_iterations_as_the_calls_are_enough_for(prior, name):
    def asked(steps):
        trainer = MeshTrainer(settings_of(ROWS[name], "quick", "a cat", 0, steps), prior, {})
        while trainer.step < steps:
            trainer.train_step()
        return trainer.guided.guided

    steps = iterations(ROWS[name], prior, "quick", "a cat", 30, "a blur")
    assert asked(steps) <= 30 < asked(steps + 1)


def test_a_preset_costs_what_dsd_asks_for_in_its_steps(prior):
    calls = preset_calls(prior, "quick", "a cat")
    assert iterations(DSD, prior, "quick", "a cat", calls, "a blur") == SMALL["steps"]


def test_a_row_that_cannot_iterate_once_is_refused(prior):
    with pytest.raises(ValueError, match="1 calls are too few for SDS; one iteration costs 2"):
        iterations(SDS, prior, "quick", "a cat", 1, "a blur")


class TestSettings:
    def test_what_a_preset_says_of_dsd_holds_for_dsd_alone(self):
        assert settings_of(DSD, "quick", "a cat").options == {"grid": 5}
        assert settings_of(DSD, "quick", "a cat").guidance == 3.0
        assert settings_of(RANDOM, "quick", "a cat").options == {"grid": 5, "noise": "random"}
        for row in (SDS, PUBLISHED):
            asked = settings_of(row, "quick", "a cat")
            assert asked.options == {} and asked.guidance is None and asked.lr == 0.1

    def test_only_nfsd_moves_away_from_words(self):
        given = {row.name: settings_of(row, "quick", "a cat", negative="a blur").negative for row in METHOD_ROWS}
        assert {name for name, negative in given.items() if negative} == {"NFSD"}

    def test_the_rates_of_all_rows_have_the_presets_sum(self):
        assert reach("quick") == pytest.approx(SMALL["steps"] * 0.1)

    def test_every_way_to_say_the_view_is_a_row(self):
        asked = {settings_of(row, "quick", "a cat").view_prompts for row in VIEW_ROWS}
        assert asked == set(VIEW_PROMPTS)


def test_the_command_offers_what_there_is():
    assert set(METHODS) == set(reproduce_mesh.METHODS) and tuple(GROUPS) == reproduce_mesh.GROUPS
    assert rows_of(["methods"], ["sds"]) == [SDS] and RECOMPUTED in rows_of(["methods", "views"], ["dsd"])

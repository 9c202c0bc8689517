"""Rows of distillation of objects: what each asks of a preset, and how long it may iterate."""

from __future__ import annotations

import pytest

from psr_cli import reproduce_mesh
from psr_core.distillation.prior_folder import open_prior
from psr_core.distillation.published import PUBLISHED as PUBLISHED_OPTIONS
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
    rates,
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
    monkeypatch.setitem(settings.PRESETS, "quick", {**SMALL, "lr": 0.1})


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
    def test_a_row_has_the_volumes_options_or_those_of_its_released_code(self):
        usual, random, released = (
            settings_of(row, "quick", "a cat").method_options() for row in (DSD, RANDOM, PUBLISHED)
        )
        assert random == {**usual, "noise": "random"} and released == PUBLISHED_OPTIONS["dsd"]

    def test_only_nfsd_moves_away_from_words(self):
        given = {row.name: settings_of(row, "quick", "a cat", negative="a blur").negative for row in METHOD_ROWS}
        assert {name for name, negative in given.items() if negative} == {"NFSD"}

    @pytest.mark.parametrize("steps", [SMALL["steps"], 40])
    def test_the_rates_have_the_presets_sum(self, steps):
        assert sum(rates("quick", steps)) == pytest.approx(SMALL["steps"] * 0.1)

    @pytest.mark.parametrize("steps", [1, 2, 3, 40])
    def test_they_fall_from_twice_its_rate_at_most(self, steps):
        found = list(rates("quick", steps))
        assert found == sorted(found, reverse=True) and found[0] <= 0.2 + 1e-12 and found[-1] == 0

    def test_every_way_to_say_the_view_is_a_row(self):
        asked = {settings_of(row, "quick", "a cat").view_prompts for row in VIEW_ROWS}
        assert asked == set(VIEW_PROMPTS)


def test_the_command_offers_what_there_is():
    assert set(METHODS) == set(reproduce_mesh.METHODS) and tuple(GROUPS) == reproduce_mesh.GROUPS
    assert rows_of(["methods"], ["sds"]) == [SDS] and RECOMPUTED in rows_of(["methods", "views"], ["dsd"])

"""Verdicts about rows whose figures are made up."""

from __future__ import annotations

import numpy as np
import pytest

from psr_eval.distillation_results import Case, Entry, distance_to_ddim, diversity, more_efficient
from psr_eval.distillation_rows import ROWS
from psr_eval.paired import Estimate
from psr_eval.point_metrics import METRICS, Scores

NOISE = np.random.default_rng(0).standard_normal((60, len(METRICS)))


def entry(name, nll, coverage, noise=0.01, efficiency=None, points=()):
    values = np.zeros(len(METRICS))
    values[METRICS.index("nll")], values[METRICS.index("coverage")] = nll, coverage
    row = next(row for row in ROWS if row.name == name)
    shift = NOISE * noise * (1 + 0.1 * ROWS.index(row))
    return Entry(row, {"points": list(points)}, Scores(values, values + shift), efficiency, efficiency is not None)


def case(*entries):
    return Case(None, {one.row.name: one for one in entries}, ())


class TestDiversity:
    def test_only_rows_as_faithful_are_rivals(self):
        found = diversity(case(entry("DSD", 1.0, 0.7), entry("VSD", 5.0, 0.9), entry("SDS", 0.9, 0.1)), "DSD")
        assert (found.verdict, found.rival) == ("yes", "SDS") and found.lead.mean == pytest.approx(0.6)

    def test_one_rival_that_covers_more_is_a_no(self):
        found = diversity(case(entry("DSD", 1.0, 0.7), entry("MSD", 1.0, 0.9), entry("SDS", 0.9, 0.1)), "DSD")
        assert (found.verdict, found.rival) == ("no", "MSD") and found.lead.high < 0

    def test_a_rival_that_cannot_be_told_apart_leaves_it_open(self):
        found = diversity(case(entry("DSD", 1.0, 0.7), entry("MSD", 1.0, 0.7)), "DSD")
        assert found.verdict == "open"

    def test_its_own_variants_and_ddim_are_no_rivals(self):
        found = diversity(case(entry("DSD", 1.0, 0.7), entry("DSD, grid 50", 1.0, 0.9), entry("DDIM", 0.5, 0.9)), "DSD")
        assert (found.verdict, found.rival) == ("yes", "")

    def test_of_a_row_that_was_not_run_there_is_none(self):
        assert diversity(case(entry("SDS", 1.0, 0.1)), "DSD") is None


def test_efficiencies_are_told_apart_by_their_intervals():
    one, other = (
        entry(name, 1, 1, efficiency=Estimate(mean, mean - 0.2, mean + 0.2)) for name, mean in (("SDS", 1), ("MSD", 0))
    )
    assert (more_efficient(case(one, other), "SDS", "MSD"), more_efficient(case(one, other), "MSD", "SDS")) == (
        "yes",
        "no",
    )
    assert more_efficient(case(one, entry("MSD", 1, 1)), "SDS", "MSD") == ""


def test_distances_to_ddim_are_between_particles_of_the_same_noise():
    found = case(
        entry("DSD", 1, 1, points=[[0, 0], [1, 1], [5, 5]]), entry("DDIM", 1, 1, points=[[0, 0.5], [1, 1], [5, 9]])
    )
    assert distance_to_ddim(found, "DSD", "DDIM") == 0.5 and distance_to_ddim(found, "MSD", "DDIM") is None

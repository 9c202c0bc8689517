"""The settings of `psr reproduce policy`: what a file stands for, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from psr_core.steering import Steering
from psr_eval.policy_rows import Row, read_rows, stock_row
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.policy import steered_scheduler

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "reproduce" / "policy.yaml"


@pytest.fixture
def read(tmp_path):
    def read(*entries: str) -> list[Row]:
        path = tmp_path / "rows.yaml"
        path.write_text("rows:\n" + "".join(f"  - {entry}\n" for entry in entries))
        return read_rows(path)

    return read


class TestShippedFile:
    def test_has_every_line_of_table_1_4(self):
        rows = read_rows(SHIPPED)
        assert rows[0] == Row("ddim", Steering(method="none"))
        families = {(row.sampler, row.family) for row in rows}
        assert {("ddim", "PSR"), ("ddpm", "naive noise scaling"), ("ddim", "naive epsilon scaling")} <= families
        assert ("ddim", "PSR, Gaussian integrators") in families
        ks = {row.steering.k for row in rows if row.family == "PSR"}
        assert min(ks) < 1 < max(ks)

    def test_every_row_can_be_sampled(self):
        config = PolicyConfig("unet", (("x", 1),), 1, ("x",), network_options=UnetOptions())
        for row in read_rows(SHIPPED):
            steered_scheduler(config, row.steering, row.sampler, 16)

    def test_file_names_are_all_different(self):
        slugs = [row.slug for row in read_rows(SHIPPED)]
        assert len(set(slugs)) == len(slugs)
        assert "ddim-psr-k-1.5-sigma-0.1-gaussian2" in slugs


class TestReading:
    def test_a_list_stands_for_each_of_its_values(self, read):
        rows = read("{sampler: ddim}", "{sampler: ddim, steering: {k: [0.5, 2.0], sigma: [0.1, 0.2], cap: true}}")
        found = [(row.steering.k, row.steering.sigma, row.steering.cap) for row in rows[1:]]
        assert found == [(0.5, 0.1, True), (0.5, 0.2, True), (2.0, 0.1, True), (2.0, 0.2, True)]

    def test_names_say_sampler_and_steering(self, read):
        rows = read("{sampler: ddim}", "{sampler: ddim, steering: {k: 2, sigma: 0.1}}")
        assert [row.name for row in rows] == ["DDIM", "DDIM + psr k=2 σ=0.1"]
        assert stock_row(rows, "ddim") == rows[0]
        assert stock_row(rows, "ddpm") is None

    @pytest.mark.parametrize(
        ("entries", "told"),
        [
            (["{sampler: ddim, kappa: 2}"], "row 1: unknown field kappa; expected some of: sampler, steering"),
            (["{steering: {k: 2}}"], "row 1: is {'steering': {'k': 2}}, expected sampler"),
            (["{sampler: euler}"], "row 1: sampler is 'euler', expected one of: ddim, ddpm"),
            (["{sampler: [ddim]}"], "row 1: sampler is ['ddim']"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {kappa: 2}}"], "row 2: steering has no field kappa"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {k: [2, 0]}}"], "row 2: steering.k is 0"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {k: []}}"], "row 2: a list under steering is empty"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {k: 1}}"], "two rows are DDIM; remove one"),
            (["{sampler: ddim, steering: {k: 2}}"], "the first row, DDIM + psr k=2 σ=1, is the baseline and must"),
            (["{sampler: ddim}", "{sampler: ddpm, steering: {k: 2}}"], "compared with; add {sampler: ddpm}"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, read, entries, told):
        with pytest.raises(ValueError) as caught:
            read(*entries)
        assert told in str(caught.value)
        assert "rows.yaml" in str(caught.value)

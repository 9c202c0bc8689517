"""The settings of `psr reproduce depth`: what a file stands for, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from psr_core.steering import Steering
from psr_eval.depth_rows import Row, read_rows

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "reproduce" / "depth.yaml"


@pytest.fixture
def read(tmp_path):
    def read(*entries: str) -> list[Row]:
        path = tmp_path / "rows.yaml"
        path.write_text("rows:\n" + "".join(f"  - {entry}\n" for entry in entries))
        return read_rows(path)

    return read


class TestShippedFile:
    def test_has_every_line_of_table_1_2(self):
        rows = read_rows(SHIPPED)
        thesis = Steering(k=1.3, sigma=10.0)
        assert rows[0] == Row("ddim")
        assert {Row("ddim", 10), Row("ddpm"), Row("ddim", 1, thesis), Row("ddim", 2, thesis)} <= set(rows)
        assert any(row.sampler == "ddpm" and row.steering.method == "nns" for row in rows)

    def test_has_a_full_grid_with_both_sides_of_1(self):
        grid = {(row.steering.k, row.steering.sigma) for row in read_rows(SHIPPED) if row.is_psr and row.ensemble == 1}
        ks, sigmas = {k for k, _ in grid}, {sigma for _, sigma in grid}
        assert len(grid) == len(ks) * len(sigmas) >= 12
        assert min(ks) < 1 < max(ks)


class TestReading:
    def test_lists_stand_for_each_of_their_values(self, read):
        rows = read("{sampler: ddim, ensemble: [1, 3]}", "{sampler: ddim, ensemble: [1, 2], steering: {k: [2, 3]}}")
        assert [(row.ensemble, row.steering.k) for row in rows if row.is_psr] == [(1, 2), (1, 3), (2, 2), (2, 3)]
        assert [row.ensemble for row in rows if row.is_stock] == [1, 3]

    def test_names_say_sampler_steering_and_ensemble(self, read):
        rows = read("{sampler: ddim}", "{sampler: ddpm, ensemble: 2, steering: {k: 1.3, sigma: 10}}")
        assert [row.name for row in rows] == ["DDIM", "DDPM + psr k=1.3 σ=10, ensemble 2"]

    def test_only_psr_that_does_something_is_psr(self, read):
        rows = read(
            "{sampler: ddpm}", "{sampler: ddpm, steering: {method: nns, k: 2}}", "{sampler: ddim, steering: {}}"
        )
        assert [row.is_psr for row in rows] == [False, False, False]

    @pytest.mark.parametrize(
        ("entries", "told"),
        [
            (["{sampler: ddim, members: 2}"], "row 1: unknown field members; expected some of: sampler, ensemble"),
            (["{ensemble: 2}"], "row 1: is {'ensemble': 2}, expected sampler"),
            (["{sampler: euler}"], "row 1: sampler is 'euler', expected one of: ddim, ddpm"),
            (["{sampler: [ddim]}"], "row 1: sampler is ['ddim']"),
            (["{sampler: ddim, ensemble: 0}"], "row 1: ensemble is 0, expected a whole number of at least 1"),
            (["{sampler: ddim, ensemble: true}"], "row 1: ensemble is True"),
            (["{sampler: ddim, ensemble: [1, 2.0]}"], "row 1: ensemble is [1, 2.0]"),
            (["{sampler: ddim, ensemble: []}"], "row 1: ensemble is []"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {k: 0}}"], "row 2: steering.k is 0"),
            (["{sampler: ddim}", "{sampler: ddim, steering: {k: []}}"], "row 2: a list under steering is empty"),
            (["{sampler: ddim}", "{sampler: ddim, ensemble: [2, 2]}"], "two rows are DDIM, ensemble 2; remove one"),
            (["{sampler: ddim, steering: {k: 2}}"], "the first row, DDIM + psr k=2 σ=1, is the baseline and must"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, read, entries, told):
        with pytest.raises(ValueError) as caught:
            read(*entries)
        assert told in str(caught.value)
        assert "rows.yaml" in str(caught.value)

    def test_noise_cannot_be_scaled_where_there_is_none(self, read):
        with pytest.raises(
            ValueError, match="row 2: sampler ddim: .*injects no noise.*use DDPMScheduler.*sampler ddpm"
        ):
            read("{sampler: ddim}", "{sampler: ddim, steering: {method: nns, k: 2}}")
